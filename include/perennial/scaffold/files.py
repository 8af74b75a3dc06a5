"""The CSV files from which a pipeline is made: found by a pattern, and read by the strict reader of collect."""

from __future__ import annotations

import codecs
import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

from perennial.collect.broken import BrokenError
from perennial.collect.dated_files import find_dated_files, no_file
from perennial.collect.decode import check_beginning, decode_text, find_mark
from perennial.collect.landing import may_be_data
from perennial.collect.records import Records, each_record
from perennial.collect.unpack import Gzip
from perennial.config.dialect import Csv
from perennial.errors import RefusedError

HEAD_CHARACTERS = 1_000_000
_CHUNK = 1 << 20
_HEAD_CHUNKS = 4
_GUESS = "windows-1252"
"""The encoding of a file that is not UTF-8, unless the user names another."""

_ASCII = bytes(range(0x80))
_UTF8_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True, slots=True)
class File:
    """One file, and the date in its name, if the pattern has `{date}`."""

    path: Path
    day: date | None = None


def find_files(pattern: str) -> tuple[list[File], dict[Path, str]]:
    """
    Return the files that a pattern names, in order of date and name, and the reason by matching path that is not read.

    With `{date}` in the pattern, a file without a date in its name is not read. A pattern without files is refused.
    """
    if "{date" in pattern:
        dated = find_dated_files(pattern)
        files = [File(path, day) for day, paths in dated.by_date.items() for path in paths]
        ignored = dated.ignored
    else:
        files, ignored = _find_undated(pattern)
    if not files:
        found = "a folder" if os.path.isdir(pattern) else "none"  # Path fails at a name that is too long
        raise RefusedError(
            f"No CSV file matches {pattern[:200]!r}, found {found}",
            [f"{path}: {reason}" for path, reason in ignored.items() if str(path) != pattern],
            "Name the files by a pattern in quotes, such as 'exports/*.csv.gz' or 'exports/{date}.csv'.",
        )
    return files, ignored


def _find_undated(pattern: str) -> tuple[list[File], dict[Path, str]]:
    """Return the files of a pattern without dates. A link to another of the files would double its rows, and is ignored."""
    files: list[File] = []
    ignored: dict[Path, str] = {}
    seen: dict[tuple[int, int], Path] = {}
    names = sorted(glob.glob(pattern)) or glob.glob(glob.escape(pattern))
    for path in sorted(map(Path, names), key=lambda path: (path.is_symlink(), path)):
        if not may_be_data(path.name):
            continue
        if reason := no_file(path):
            ignored[path] = reason
            continue
        place = (path.stat().st_dev, path.stat().st_ino)
        if place in seen:
            ignored[path] = f"it is the same file as {seen[place]}"
        else:
            seen[place] = path
            files.append(File(path))
    return sorted(files, key=lambda file: file.path), ignored


def read_head(file: File, encoding: str | None = None) -> tuple[str, str]:
    """
    Return the encoding of a file, and its first characters in whole lines.

    :param encoding: the user's choice; None: utf-16 by its mark, utf-8, or else windows-1252
    """
    head = b"".join(islice(_blocks(file), _HEAD_CHUNKS))
    if not head.removeprefix(codecs.BOM_UTF8).strip():
        raise RefusedError(f"{file.path} is empty", remedy="Expected a header and rows.")
    found = encoding or ("utf-16" if find_mark(head) == "utf-16" else "utf-8")
    try:
        check_beginning(head, found)
    except BrokenError as error:
        raise RefusedError(f"{file.path}: {error}") from None
    if found != "utf-16" and b"\0" in head:
        raise RefusedError(f"{file.path}: a binary file, it holds a NUL byte", remedy="Export it as CSV with a header row.")
    if encoding is None and found == "utf-8" and not _is_utf8(head):
        found = _GUESS
        _require_no_utf8(file, head)
    text = codecs.getincrementaldecoder(found)(errors="replace").decode(head)  # the strict reader names the wrong byte
    is_whole = len(text) <= HEAD_CHARACTERS and len(head) < _HEAD_CHUNKS * _CHUNK
    text = text.removeprefix("\ufeff")[:HEAD_CHARACTERS]
    return found, text if is_whole or "\n" not in text else text[: text.rfind("\n") + 1]


def require_one_encoding(files: Sequence[File], encoding: str) -> None:
    """Refuse files in UTF-8 if the encoding was guessed from another file to be Windows-1252, which would garble them."""
    if encoding != _GUESS:
        return
    for file in files:
        head = next(_blocks(file), b"")
        if not head.isascii():
            _require_no_utf8(file, head)


def _require_no_utf8(file: File, head: bytes) -> None:
    rest, count = _UTF8_CHARACTER.subn(b"", head)
    if count and count >= len(rest.translate(None, _ASCII)):
        raise RefusedError(
            f"{file.path}: most of its text is UTF-8, but not all text of the files is",
            remedy="Write all files in UTF-8, or choose how to read them: --encoding windows-1252.",
        )


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the end may cut a character
    except UnicodeDecodeError:
        return False
    return True


def read_file(file: File, dialect: Csv, *, keeps_text: bool = False) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of each record, the header first, and its exact text; refuse what collect would refuse, by name."""
    try:
        yield from each_record(decode_text(_blocks(file), dialect.encoding), dialect, Records(), keeps_text=keeps_text)
    except BrokenError as error:
        remedy = "Here that is the option --encoding." if "csv.encoding" in str(error) else ""
        raise RefusedError(f"{file.path}: {error}", remedy=remedy) from None


def check_header(header: Sequence[str], file: File, first: Sequence[str], first_file: File) -> None:
    """Refuse a file whose columns differ from those of the first file."""
    if not header:
        raise RefusedError(f"{file.path} is empty", remedy="Expected a header and rows; delete it if its date has no rows.")
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
