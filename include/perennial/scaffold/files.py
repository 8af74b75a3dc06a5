"""The CSV files from which a pipeline is made: found by a pattern, and read as text."""

from __future__ import annotations

import glob
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, cast

from perennial.collect.dated_files import find_dated_files
from perennial.errors import RefusedError

HEAD_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8"}
_FORMATS = {b"PAR1": "Parquet", b"PK\x03\x04": "a zip archive or an Excel workbook", b"\xd0\xcf\x11\xe0": "an Excel workbook"}
_JSON = re.compile(r'\s*(\{\s*"|\[\s*[\[{])')


@dataclass(frozen=True, slots=True)
class File:
    """One file, and the date in its name, if the pattern has `{date}`."""

    path: Path
    day: date | None = None


def find_files(pattern: str) -> list[File]:
    """Return the files that a pattern names, in order of date and name; refuse a pattern without files."""
    if "{date" in pattern:
        dated = find_dated_files(pattern).by_date
        files = [File(path, day) for day, paths in dated.items() for path in paths]
    else:
        paths = [Path(path) for path in sorted(glob.glob(pattern))] or [Path(pattern)]
        files = [File(path) for path in paths if path.is_file() and not path.name.startswith(("_", "."))]
    if not files:
        found = "a folder" if Path(pattern).is_dir() else "none"
        raise RefusedError(
            f"No CSV file matches {pattern!r}, found {found}",
            remedy="Name the files by a pattern in quotes, such as 'exports/*.csv.gz' or 'exports/{date}.csv'.",
        )
    return files


def read_encoding(files: Sequence[File]) -> str:
    """Return the encoding of the first file: utf-8, utf-16 by its mark, or windows-1252. Refuse other formats by name."""
    path = files[0].path
    head = _read_head(path)
    if not head:
        raise RefusedError(f"{path} is empty", remedy="Expected a header and rows.")
    if name := next((name for mark, name in _FORMATS.items() if head.startswith(mark)), None):
        raise RefusedError(f"{path}: the format is {name}", remedy="Export it as CSV with a header row.")
    if mark := next((name for mark, name in _MARKS.items() if head.startswith(mark)), None):
        return mark
    if b"\0" in head:
        raise RefusedError(f"{path}: a binary file, it holds a NUL byte", remedy="Export it as CSV with a header row.")
    if _JSON.match(head.decode("latin-1")):
        raise RefusedError(f"{path}: the format is JSON", remedy="Export it as CSV with a header row.")
    try:
        # A character may be cut at the end of the head.
        io.TextIOWrapper(io.BytesIO(head + b"\n"), encoding="utf-8").read(len(head) - 4)
        return "utf-8"
    except UnicodeDecodeError:
        return "windows-1252"


def read_text_head(file: File, encoding: str) -> str:
    """Return the first characters of a file, up to the end of a line."""
    with open_lines(file, encoding) as lines:
        parts, size = [], 0
        for line in lines:
            parts.append(line)
            size += len(line)
            if size > HEAD_BYTES:
                break
    return "".join(parts)


@contextmanager
def open_lines(file: File, encoding: str) -> Iterator[Iterator[str]]:
    """Open a file as lines that end in LF, as collect reads it; a file that cannot be decoded is refused by name."""
    with _open(file.path) as raw:
        wrapper = io.TextIOWrapper(raw, encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="\n")
        try:
            yield wrapper
        except UnicodeDecodeError as error:
            raise RefusedError(
                f"{file.path}: not {encoding} at byte 0x{error.object[error.start]:02X}", remedy="Export it as UTF-8."
            ) from None
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            raise RefusedError(f"{file.path}: damaged gzip data ({error})") from error


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP
        file.seek(0)
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if is_compressed else file


def _read_head(path: Path) -> bytes:
    try:
        with _open(path) as file:
            return file.read(HEAD_BYTES)
    except (EOFError, OSError) as error:
        raise RefusedError(f"{path}: damaged gzip data, or no file that can be read", [str(error)]) from error
