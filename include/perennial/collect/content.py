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
"""Characters of a record, line breaks in quotes included. One quote that nothing closes would make a record of the whole file."""
MAX_RATIO = 200
"""Decompressed by compressed size. Real CSV reaches 5 to 30; a gzip bomb comes close to 1,000."""
RATIO_FREE_BYTES = 10_000_000
"""Below this size the ratio says nothing: a small file of equal rows compresses without end."""

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
    """The content cannot be read on; the digest is still taken to the end."""


@dataclass(slots=True)
class Content:
    """What was found in a file. `rows` counts records, not lines: quotes may hold line breaks; the header is no row."""

    sha256: str = ""
    size: int = 0
    text_bytes: int = 0
    columns: tuple[str, ...] = ()
    rows: int = 0
    problems: list[str] = field(default_factory=list)


def read_content(chunks: Iterable[bytes], *, compressed: bool, max_bytes: int) -> Content:
    """Read a file once; `max_bytes` bounds its decompressed size. What is wrong with it is in `problems`."""
    found = Content()
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            found.size += len(chunk)
            yield chunk

    raw = hashed()
    plain = _bounded(_gunzip(raw) if compressed else raw, found, max_bytes)
    try:
        _count(_lines(_text(plain)), found)
    except _BrokenError as error:
        found.problems.append(str(error))
    except csv.Error as error:
        too_long = "field larger" in str(error)
        said = f"a cell of more than {csv.field_size_limit():,} characters: is a quote not closed?" if too_long else str(error)
        found.problems.append(f"not readable as CSV after row {found.rows}: {said}")
    for _ in raw:
        pass
    found.sha256 = digest.hexdigest()
    return found


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks of the decompressed members; memory stays bounded however well they were compressed."""
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


def _bounded(blocks: Iterator[bytes], found: Content, max_bytes: int) -> Iterator[bytes]:
    for block in blocks:
        found.text_bytes += len(block)
        if found.text_bytes > max_bytes:
            raise _BrokenError(f"more than {max_bytes} bytes of text, all that max_bytes allows")
        if found.text_bytes > RATIO_FREE_BYTES and found.text_bytes > MAX_RATIO * found.size:
            raise _BrokenError(f"a compressed bomb: its text is more than {MAX_RATIO} times as large as the file")
        yield block


def _text(blocks: Iterator[bytes]) -> Iterator[str]:
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


def _lines(texts: Iterator[str]) -> Iterator[str]:
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield line + "\n"
        if len(rest) > MAX_LINE:
            raise _BrokenError(f"a line of more than {MAX_LINE} characters")
    if rest:
        yield rest


def _count(lines: Iterator[str], found: Content) -> None:
    taken, last, first_ending = 0, "", ""

    def bounded() -> Iterator[str]:
        nonlocal taken, last
        for line in lines:
            last = line
            taken += len(line)
            if taken > MAX_RECORD:
                after = f"the record after row {found.rows}" if found.columns else "the header"
                raise _BrokenError(f"{after} has more than {MAX_RECORD:,} characters: is a quote not closed?")
            yield line

    for record in csv.reader(bounded()):
        taken = 0
        if not record:  # blank lines are no records; Spark skips them too
            continue
        ending = "CRLF" if last.endswith("\r\n") else "LF"
        if found.columns:
            found.rows += 1
            # Spark settles on the first line's: another one's carriage return would stay in the row's last cell.
            if ending != first_ending and last.endswith("\n"):
                raise _BrokenError(f"line endings differ: the header ends in {first_ending}, row {found.rows} in {ending}")
        else:
            found.columns, first_ending = tuple(record), ending
