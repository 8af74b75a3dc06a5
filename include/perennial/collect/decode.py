"""The text of a file, decoded strictly: no byte is replaced or guessed."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from perennial.collect.broken import BrokenError
from perennial.collect.formats import HEAD_BYTES, other_format
from perennial.collect.unpack import GZIP

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)


def decode_text(blocks: Iterator[bytes], encoding: str) -> Iterator[str]:
    """
    Yield the text of a file without its byte order mark, if it has one.

    UTF-8 may have a mark and UTF-16 must have one, since its two forms cannot be told apart without.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    at = 0
    for number, block in enumerate(blocks):
        if number == 0:
            check_beginning(block, encoding)
            if encoding == "utf-8" and block.startswith(codecs.BOM_UTF8):
                at, block = len(codecs.BOM_UTF8), block[len(codecs.BOM_UTF8) :]
        yield _decode(decoder, block, at, encoding, final=False)
        at += len(block)
    yield _decode(decoder, b"", at, encoding, final=True)


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, at: int, encoding: str, *, final: bool) -> str:
    pending = decoder.getstate()[0]
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02X} at position {at - len(pending) + error.start}"
        hint = ". It looks like Latin-1 or Windows-1252: if it is, set csv.encoding" if encoding == "utf-8" else ""
        raise BrokenError(f"not {_show(encoding)}: {place}{hint}") from error


def find_mark(head: bytes) -> str | None:
    """Return the encoding that the byte order mark of a file names, or None if it has no mark."""
    return next((name for beginning, name in _MARKS if head.startswith(beginning)), None)


def check_beginning(block: bytes, encoding: str) -> None:
    """Refuse another format, a compressed file and another encoding by name."""
    head, mark = block[:HEAD_BYTES], find_mark(block)
    if head.startswith(GZIP):
        raise BrokenError("compressed, though its name does not end in .gz (or compressed twice)")
    if mark is None and (name := other_format(head)):
        raise BrokenError(f"the format is {name}, expected CSV with a header row")
    if mark is None and len(head) >= 4 and any(head[:8]) and (not any(head[1:8:2]) or not any(head[0:8:2])):
        raise BrokenError(f"the encoding is UTF-16 without a byte order mark, expected {_show(encoding)}")
    if mark is not None and mark != encoding:
        remedy = "" if mark == "utf-32" else f": set csv.encoding to {mark}"
        raise BrokenError(f"the encoding is {_show(mark)} (it has a byte order mark), expected {_show(encoding)}{remedy}")
    if encoding == "utf-16" and mark is None:
        raise BrokenError("no byte order mark, which UTF-16 needs")


def _show(encoding: str) -> str:
    return {"latin-1": "Latin-1", "windows-1252": "Windows-1252"}.get(encoding, encoding.upper())
