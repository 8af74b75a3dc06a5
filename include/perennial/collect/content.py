"""The bytes of one file of a drop: digest, size, encoding, header and rows, in one pass and in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from perennial.collect.broken import BrokenError
from perennial.collect.decode import decode_text
from perennial.collect.records import Records, read_records
from perennial.collect.unpack import Gzip
from perennial.config.dialect import Csv


@dataclass(slots=True)
class Content(Records):
    """The result of reading a file. `padding` is the number of zero bytes behind the data of a gzip file."""

    sha256: str = ""
    size: int = 0
    padding: int = 0
    text_bytes: int = 0
    problems: list[str] = field(default_factory=list)


def read_content(chunks: Iterable[bytes], *, compressed: bool, max_bytes: int, dialect: Csv) -> Content:
    """Read a file once and list its errors in `problems`; `max_bytes` bounds its decompressed size."""
    content = Content()
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            content.size += len(chunk)
            yield chunk

    raw, gzip = hashed(), Gzip()
    plain = _limit(gzip.unpack(raw) if compressed else raw, content, max_bytes)
    try:
        read_records(decode_text(plain, dialect.encoding), dialect, content)
    except BrokenError as error:
        content.problems.append(str(error))
    for _ in raw:
        pass
    content.padding = gzip.padding
    content.sha256 = digest.hexdigest()
    return content


def _limit(blocks: Iterator[bytes], content: Content, max_bytes: int) -> Iterator[bytes]:
    for block in blocks:
        content.text_bytes += len(block)
        if content.text_bytes > max_bytes:
            raise BrokenError(f"more than {max_bytes} bytes of text, the limit that max_bytes sets")
        yield block
