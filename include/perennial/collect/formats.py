"""Files of another format than CSV, known by their first bytes."""

from __future__ import annotations

import codecs
import re

HEAD_BYTES = 512

_BINARY = (
    (b"PAR1", "Parquet"),
    (b"PK\x03\x04", "a zip archive, such as an Excel workbook (.xlsx)"),
    (b"\xd0\xcf\x11\xe0", "a file of Microsoft Office, such as an Excel workbook (.xls)"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"ARROW1\0\0", "Arrow"),
    (b"FEA1", "Feather"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"BZh", "a file that bzip2 compressed"),
    (b"\x28\xb5\x2f\xfd", "a file that zstd compressed"),
    (b"\xfd7zXZ\0", "a file that xz compressed"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
)
_TEXT = (
    (re.compile(r'\{\s*"[^"]*"\s*:|\[\s*[\[{]'), "JSON"),
    (re.compile(r"<!doctype html|<html", re.IGNORECASE), "HTML"),
    (re.compile(r"<\?xml"), "XML"),
    (re.compile(r"%PDF-"), "PDF"),
)


def other_format(head: bytes) -> str | None:
    """Return the format of a file that begins with these bytes, or None if it may be CSV."""
    # The header of a CSV file may begin with the letters of a mark.
    is_text = all(byte >= 0x20 or byte in b"\t\n\r" for byte in head)
    for mark, name in () if is_text else _BINARY:
        if head.startswith(mark):
            return name
    text = head.removeprefix(codecs.BOM_UTF8).decode("latin-1").lstrip()
    return next((name for pattern, name in _TEXT if pattern.match(text)), None)
