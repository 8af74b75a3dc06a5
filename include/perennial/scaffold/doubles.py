"""Rows of a date with the same key: how many, an example, and whether they are of the hour that clocks repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NoReturn
from zoneinfo import ZoneInfo

from perennial.errors import RefusedError
from perennial.scaffold.cells import is_repeated
from perennial.scaffold.columns import Column
from perennial.scaffold.key import MAX_DOUBLES, find_nearest_key
from perennial.scaffold.sample import Sample

_ZONES = ("Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "Australia/Sydney")
"""One for each hour at which many countries set clocks back, for data whose time zone was not named."""


@dataclass(frozen=True, slots=True)
class Doubles:
    """
    Rows whose key an earlier row of their date has.

    :ivar rows: how many there are
    :ivar text: a description with an example; empty if there are none
    """

    rows: int = 0
    text: str = ""


def find_doubles(
    sample: Sample, columns: Sequence[Column], days: Sequence[date | None], names: Sequence[str], zone: str | None
) -> Doubles:
    """
    Return the doubled rows of a key among the first rows of a sample.

    :param zone: the time zone that the user named
    """
    indices = [index for index, column in enumerate(columns) if column.name in names]
    first: dict[tuple[str, ...], int] = {}
    pairs = []
    for number, (row, day) in enumerate(zip(sample.rows[: sample.head], days, strict=False)):
        key = (str(day), *[row[index] for index in indices])
        if (earlier := first.setdefault(key, number)) != number:
            pairs.append((earlier, number))
    if not pairs:
        return Doubles()
    places = [f"{file.path} row {row}" for file, row in (sample.places[number] for number in pairs[0])]
    cells = ", ".join(f"{columns[index].header} {sample.rows[pairs[0][1]][index][:40]!r}" for index in indices)
    example = f"such as {' and '.join(places)} ({cells})"
    text = f"{len(pairs)} of {sample.head} rows have the key of an earlier row of their date, {example}"
    moments = [list(_moments(sample.rows[number], columns, indices, days[number])) for _, number in pairs]
    return Doubles(len(pairs), text + _explain_hour(moments, zone))


def refuse_key(sample: Sample, columns: Sequence[Column], days: Sequence[date | None], label: str, zone: str | None) -> NoReturn:
    """Refuse rows in which no key was found, with the combination that comes nearest."""
    rows, first_days = sample.rows[: sample.head], days[: sample.head]
    same = len(rows) - len(set(zip(first_days, rows, strict=True)))
    reasons = [f"{same} of {len(rows)} rows are equal to an earlier one in all columns"] if same else []
    remedy = "Name the columns that identify a row: --key COLUMN,COLUMN."
    if near := find_nearest_key(columns, rows, first_days, label):
        doubles = find_doubles(sample, columns, days, near, zone)
        reasons.append(f"the nearest is {', '.join(near)}: {doubles.text}")
        if doubles.rows <= MAX_DOUBLES * len(rows):
            remedy += f" With --key {','.join(near)}, the later of these rows go to quarantine."
    raise RefusedError("No combination of columns is unique within a date", reasons, remedy)


def _moments(row: Sequence[str], columns: Sequence[Column], indices: Sequence[int], day: date | None) -> Iterator[str]:
    """Yield the local times that the cells of a key may have."""
    for index in indices:
        column, cell = columns[index], row[index]
        if column.type == "timestamp":
            yield cell
        elif column.type == "time":
            yield f"{day}T{cell}"
        elif column.type == "integer" and "hour" in column.name and len(cell) <= 2:
            yield f"{day}T{cell:0>2}:00"


def _explain_hour(moments: Sequence[Sequence[str]], zone: str | None) -> str:
    """Return words for the doubled rows that are of an hour which clocks repeat."""
    for name in [zone] if zone else _ZONES:
        count = sum(any(is_repeated(moment, ZoneInfo(name)) for moment in texts) for texts in moments)
        if count == len(moments) or (zone and count):
            which = "they are" if count == len(moments) else f"{count} of these are"
            doubt = "" if zone else " (if that is the time zone of the data)"
            return f"; {which} of the hour that {name} has twice, as clocks are set back{doubt}: only an offset tells them apart"
    return ""
