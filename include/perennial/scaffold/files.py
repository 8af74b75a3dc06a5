"""The CSV files from which a pipeline is made: found by a pattern, and read by the strict reader of collect."""

from __future__ import annotations

import codecs
import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

from perennial.collect.broken import BrokenError
from perennial.collect.dated_files import find_dated_files
from perennial.collect.decode import decode_text
from perennial.collect.formats import other_format
from perennial.collect.landing import may_be_data
from perennial.collect.records import Records, each_record
from perennial.collect.unpack import GZIP, Gzip
from perennial.config.dialect import Csv
from perennial.errors import RefusedError

HEAD_CHARACTERS = 1_000_000
_CHUNK = 1 << 20
_HEAD_CHUNKS = 4
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class File:
    """One file, and the date in its name, if the pattern has `{date}`."""

    path: Path
    day: date | None = None


def find_files(pattern: str) -> tuple[list[File], list[Path]]:
    """
    Return the files that a pattern names, in order of date and name, and the matching files that are not read.

    With `{date}` in the pattern, a file without a date in its name is not read. A pattern without files is refused.
    """
    ignored: list[Path] = []
    if "{date" in pattern:
        dated = find_dated_files(pattern)
        files = [File(path, day) for day, paths in dated.by_date.items() for path in paths]
        ignored = dated.ignored
    else:
        paths = [Path(path) for path in sorted(glob.glob(pattern))] or [Path(pattern)]
        files = [File(path) for path in paths if path.is_file() and may_be_data(path.name)]
    if not files:
        found = "a folder" if Path(pattern).is_dir() else "none"
        raise RefusedError(
            f"No CSV file matches {pattern!r}, found {found}",
            remedy="Name the files by a pattern in quotes, such as 'exports/*.csv.gz' or 'exports/{date}.csv'.",
        )
    return files, ignored


def read_head(file: File) -> tuple[str, str]:
    """Return the encoding of a file (utf-8, utf-16 by its mark, or windows-1252) and its first characters, in whole lines."""
    head = b"".join(islice(_blocks(file), _HEAD_CHUNKS))
    if not head:
        raise RefusedError(f"{file.path} is empty", remedy="Expected a header and rows.")
    encoding = "utf-16" if head.startswith(_UTF16) else "utf-8"
    if head.startswith(GZIP):
        raise RefusedError(f"{file.path}: compressed, though its name does not end in .gz", remedy="Rename it.")
    if encoding == "utf-8" and (name := other_format(head)):
        raise RefusedError(f"{file.path}: the format is {name}", remedy="Export it as CSV with a header row.")
    if encoding == "utf-8" and b"\0" in head:
        raise RefusedError(f"{file.path}: a binary file, it holds a NUL byte", remedy="Export it as CSV with a header row.")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)  # the end may cut a character
    except UnicodeDecodeError:
        encoding, text = "windows-1252", head.decode("windows-1252", errors="replace")
    is_whole = len(text) <= HEAD_CHARACTERS and len(head) < _HEAD_CHUNKS * _CHUNK
    text = text.removeprefix("\ufeff")[:HEAD_CHARACTERS]
    return encoding, text if is_whole else text[: text.rfind("\n") + 1]


def read_file(file: File, dialect: Csv, *, keeps_text: bool = False) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of each record, the header first, and its exact text; refuse what collect would refuse, by name."""
    try:
        yield from each_record(decode_text(_blocks(file), dialect.encoding), dialect, Records(), keeps_text=keeps_text)
    except BrokenError as error:
        raise RefusedError(f"{file.path}: {error}") from None


def check_header(header: Sequence[str], file: File, first: Sequence[str], first_file: File) -> None:
    """Refuse a file whose columns differ from those of the first file."""
    if tuple(header) != tuple(first):
        raise RefusedError(f"{file.path}: its header differs from that of {first_file.path}")


def _blocks(file: File) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed, in blocks of bounded size."""
    chunks = _chunks(file.path)
    try:
        yield from Gzip().unpack(chunks) if file.path.suffix == ".gz" else chunks
    except BrokenError as error:
        raise RefusedError(f"{file.path}: {error}") from None


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise RefusedError(f"{path} cannot be read", [str(error)]) from error
