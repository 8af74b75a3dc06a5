"""The bytes of one file of a drop: digest, size, encoding, header and rows, in one pass and in bounded memory."""

from __future__ import annotations

import codecs
import csv
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MAX_LINE = 1_000_000
MAX_RECORD = 4_000_000
"""Characters of a record, including line breaks in quotes. An unclosed quote would turn the rest of the file into one record."""
MAX_RATIO = 200
"""Ratio of decompressed to compressed size. Real CSV reaches 5 to 30; a gzip bomb comes close to 1,000."""
RATIO_FREE_BYTES = 10_000_000
"""The ratio is not checked below this size: a small file of equal rows compresses extremely well."""

_BLOCK = 1 << 18
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (codecs.BOM_UTF8, "UTF-8 with a byte order mark"),
)
_GZIP = b"\x1f\x8b"


class _BrokenError(Exception):
    """Content that cannot be read further; the digest still covers the whole file."""


@dataclass(slots=True)
class Content:
    """The result of reading a file. `rows` counts records, not lines (quotes may hold line breaks), without the header."""

    sha256: str = ""
    size: int = 0
    text_bytes: int = 0
    columns: tuple[str, ...] = ()
    rows: int = 0
    problems: list[str] = field(default_factory=list)


def read_content(chunks: Iterable[bytes], *, compressed: bool, max_bytes: int) -> Content:
    """Read a file once and list its errors in `problems`; `max_bytes` bounds its decompressed size."""
    content = Content()
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            content.size += len(chunk)
            yield chunk

    raw = hashed()
    plain = _limit(_gunzip(raw) if compressed else raw, content, max_bytes)
    try:
        _count_rows(_split_lines(_decode_text(plain)), content)
    except _BrokenError as error:
        content.problems.append(str(error))
    except csv.Error as error:
        too_long = "field larger" in str(error)
        reason = f"a cell of more than {csv.field_size_limit():,} characters: is a quote not closed?" if too_long else str(error)
        content.problems.append(f"not readable as CSV after row {content.rows}: {reason}")
    for _ in raw:
        pass
    content.sha256 = digest.hexdigest()
    return content


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks of the decompressed members; memory stays bounded at any compression ratio."""
    engine = zlib.decompressobj(wbits=31)
    members, at_start = 0, True
    for chunk in chunks:
        data = chunk
        while data:
            if engine.eof:
                engine, at_start = zlib.decompressobj(wbits=31), True
            try:
                block = engine.decompress(data, _BLOCK)
            except zlib.error as error:
                if not at_start or data.startswith(_GZIP):
                    raise _BrokenError(f"damaged gzip data ({error})") from error
                what = "garbage after the end of the gzip data" if members else "not gzip, though its name ends in .gz"
                raise _BrokenError(what) from error
            at_start = False
            if block:
                yield block
            members += engine.eof
            data = engine.unused_data if engine.eof else engine.unconsumed_tail
    while not engine.eof and (block := engine.decompress(b"", _BLOCK)):
        yield block
    if not engine.eof:
        raise _BrokenError("truncated: the gzip data ends early")


def _limit(blocks: Iterator[bytes], content: Content, max_bytes: int) -> Iterator[bytes]:
    for block in blocks:
        content.text_bytes += len(block)
        if content.text_bytes > max_bytes:
            raise _BrokenError(f"more than {max_bytes} bytes of text, the limit that max_bytes sets")
        if content.text_bytes > RATIO_FREE_BYTES and content.text_bytes > MAX_RATIO * content.size:
            raise _BrokenError(f"a decompression bomb: its text is more than {MAX_RATIO} times as large as the file")
        yield block


def _decode_text(blocks: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    at = 0
    head = True
    for block in blocks:
        if head:
            _refuse_encoding(block[:64])
            head = False
        yield _decode(decoder, block, at, final=False)
        at += len(block)
    yield _decode(decoder, b"", at, final=True)


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, at: int, *, final: bool) -> str:
    pending = len(decoder.getstate()[0])
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        value = error.object[error.start]
        raise _BrokenError(
            f"not UTF-8: byte 0x{value:02X} at position {at - pending + error.start}. It looks like Latin-1 or Windows-1252"
        ) from error


def _refuse_encoding(head: bytes) -> None:
    if head.startswith(_GZIP):
        raise _BrokenError("compressed, though its name does not end in .gz (or compressed twice)")
    for mark, name in _MARKS:
        if head.startswith(mark):
            raise _BrokenError(f"the encoding is {name}, expected plain UTF-8")
    if len(head) >= 4 and (not any(head[1:8:2]) or not any(head[0:8:2])):
        raise _BrokenError("the encoding is UTF-16, expected UTF-8")


def _split_lines(texts: Iterator[str]) -> Iterator[str]:
    rest = ""
    for text in texts:
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line + "\n"
        if len(rest) > MAX_LINE:
            raise _BrokenError(f"a line of more than {MAX_LINE} characters")
    if rest:
        yield rest


def _count_rows(lines: Iterator[str], content: Content) -> None:
    record_length, last, first_ending = 0, "", ""

    def limit_record() -> Iterator[str]:
        nonlocal record_length, last
        for line in lines:
            last = line
            record_length += len(line)
            if record_length > MAX_RECORD:
                place = f"the record after row {content.rows}" if content.columns else "the header"
                raise _BrokenError(f"{place} has more than {MAX_RECORD:,} characters: is a quote not closed?")
            yield line

    for record in csv.reader(limit_record()):
        record_length = 0
        if not record:  # blank lines are not records; Spark skips them too
            continue
        ending = "CRLF" if last.endswith("\r\n") else "LF"
        if content.columns:
            content.rows += 1
            # Spark takes the line ending from the first line: a later CRLF would leave a carriage return in the row's last cell.
            if ending != first_ending and last.endswith("\n"):
                raise _BrokenError(f"line endings differ: the header ends in {first_ending}, row {content.rows} in {ending}")
        else:
            content.columns, first_ending = tuple(record), ending
