"""CSV files split by date: each record goes, with its exact cells, into the file of its date."""

from __future__ import annotations

import gzip
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from zoneinfo import ZoneInfo

from perennial.config.dialect import Csv
from perennial.config.values import FIRST_DAY, LAST_DAY
from perennial.errors import MAX_PROBLEMS_SHOWN, RefusedError
from perennial.scaffold.cells import iso_text, local_date
from perennial.scaffold.files import File, check_header, read_file
from perennial.scaffold.torn import Torn

MAX_BUFFER = 32_000_000
"""Characters that wait in memory before they are written to the files of their dates."""

_MAX_KNOWN = 100_000
"""Texts of dates that are remembered: each timestamp may be another one."""


@dataclass(slots=True)
class Split:
    """The files of each date, the number of its rows without the torn ones, and the torn rows."""

    files: dict[date, list[Path]] = field(default_factory=dict)
    rows: dict[date, int] = field(default_factory=dict)
    torn: Torn = field(default_factory=Torn)


@dataclass(frozen=True, slots=True)
class DateColumn:
    """The column with the date of a row: its place, type, format and null text, and the time zone of the dates."""

    index: int
    type: str
    format: str | None
    null_text: str | None
    zone: ZoneInfo


def split_by_date(files: Sequence[File], dialect: Csv, column: DateColumn, folder: Path, name: str) -> Split:
    """
    Write one compressed file for each date into `folder`; refuse a row without a date by file and number.

    The cells of a torn row may be those of other columns, so it goes to the drop of the row before it, or else of the row after.
    Records keep their text and their order, so that the same input gives the same bytes.
    All lines end as those of the first file do: a drop has one end of lines, and files of both may have rows of one date.
    """
    buffers: dict[date, list[str]] = defaultdict(list)
    rows: Counter[date] = Counter()
    read_day = lru_cache(_MAX_KNOWN)(partial(_read_day, column=column))
    problems: list[str] = []
    torn, early, day = Torn(), list[str](), None
    header, end, waiting = "", "\n", 0
    columns: list[str] = []
    for file in files:
        records = read_file(file, dialect, keeps_text=True)
        names, text = next(records, ([], ""))
        if not columns:
            columns, end = names, "\r\n" if text.endswith("\r\n") else "\n"
            header = _set_end(text, end)
        check_header(names, file, columns, files[0])
        for number, (record, text) in enumerate(records, 1):
            if len(record) != len(columns):
                torn.add(file, number, len(record), len(columns), day)
                (early if day is None else buffers[day]).append(_set_end(text, end))
            elif (found := read_day(record[column.index])) is None:
                cell = record[column.index]
                problems.append(f"{file.path}: row {number} has no date in the years of a pipeline, found {cell[:40]!r}")
                if len(problems) > MAX_PROBLEMS_SHOWN:
                    break
            else:
                day = found
                buffers[day] += [*early, _set_end(text, end)]
                torn.days[day] += len(early)
                early.clear()
                rows[day] += 1
            waiting += len(text)
            if waiting > MAX_BUFFER:
                _flush(buffers, folder)
                waiting = 0
    if problems:
        raise RefusedError("Nothing was landed: a row belongs to the drop of its date", problems, "Mend or remove these rows.")
    _flush(buffers, folder)
    packed = {day: [_compress(folder, day, header, dialect.encoding, name)] for day in sorted(rows)}
    return Split(packed, dict(sorted(rows.items())), torn)


def _set_end(text: str, end: str) -> str:
    """Return the text of a record with another end of its last line; breaks in quotes stay."""
    return text.removesuffix("\n").removesuffix("\r") + end


def _read_day(cell: str, column: DateColumn) -> date | None:
    iso = None if cell in ("", column.null_text) else iso_text(cell, column.format)
    day = None if iso is None else local_date(column.type, iso, column.zone)
    return day if day is not None and FIRST_DAY <= day <= LAST_DAY else None


def _flush(buffers: dict[date, list[str]], folder: Path) -> None:
    for day, texts in buffers.items():
        with (folder / f"{day}.txt").open("a", encoding="utf-8", newline="") as file:
            file.writelines(texts)
    buffers.clear()


def _compress(folder: Path, day: date, header: str, encoding: str, name: str) -> Path:
    """Compress the rows of a date below the header; the same rows always give the same bytes."""
    rows, target = folder / f"{day}.txt", folder / f"{day}" / f"{name}.csv.gz"
    target.parent.mkdir()
    with target.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        with io.TextIOWrapper(packed, encoding=encoding, newline="") as out, rows.open(encoding="utf-8", newline="") as lines:
            out.write(header)
            while text := lines.read(1 << 20):
                out.write(text)
    rows.unlink()
    return target
