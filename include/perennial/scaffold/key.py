"""The key of a new pipeline's rows: the smallest combination of columns that is unique within each date."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import combinations

from perennial.scaffold.columns import Column

MAX_COLUMNS = 4
MAX_DOUBLES = 0.02
"""Share of rows with a doubled key that a key may have which the user names; those rows go to quarantine."""

_MAX_CANDIDATES = 12
_QUICK_ROWS = 2000
_MAX_TEXT = 64
_ID = re.compile(r"(^|_)(id|key|uuid|guid|number|no|nr|code)$")
_TYPES = ("integer", "string", "timestamp", "time", "date")


def find_key(columns: Sequence[Column], rows: Sequence[tuple[str, ...]], days: Sequence[date | None], label: str) -> list[str]:
    """
    Return the names of the smallest unique combination of columns, or an empty list if there is none.

    Of several, it takes identifiers first, then the columns on the left. Numbers with fractions and long texts are
    unique by chance and are no keys.
    """
    candidates = _find_candidates(columns, label)
    if count_doubles(rows, days, candidates):
        return []  # not even all of them together are unique
    for indices in _combinations(candidates):
        is_likely = count_doubles(rows[:_QUICK_ROWS], days[:_QUICK_ROWS], indices) == 0
        if is_likely and count_doubles(rows, days, indices) == 0:
            return [columns[index].name for index in sorted(indices)]
    return []


def find_nearest_key(
    columns: Sequence[Column], rows: Sequence[tuple[str, ...]], days: Sequence[date | None], label: str
) -> list[str]:
    """
    Return the names of the combination that comes nearest to a key.

    That is the smallest combination with few duplicates (MAX_DOUBLES), or else the combination with the fewest duplicates.
    """
    rows, days = rows[:_QUICK_ROWS], days[:_QUICK_ROWS]
    candidates = _find_candidates(columns, label)
    best: tuple[int, tuple[int, ...]] = (len(rows), ())
    for size in range(1, MAX_COLUMNS + 1):
        counts = [(count_doubles(rows, days, indices), indices) for indices in combinations(candidates, size)]
        best = min([best, *counts], key=lambda pair: pair[0])
        if best[0] <= MAX_DOUBLES * len(rows):
            break
    return [columns[index].name for index in sorted(best[1])]


def count_doubles(rows: Sequence[tuple[str, ...]], days: Sequence[date | None], indices: Sequence[int]) -> int:
    """Return how many rows have a date and cells that an earlier row has."""
    seen = {(day, *[row[index] for index in indices]) for row, day in zip(rows, days, strict=True)}
    return len(rows) - len(seen)


def is_id(name: str) -> bool:
    """Return whether the name of a column is that of an identifier."""
    return _ID.search(name) is not None


def _find_candidates(columns: Sequence[Column], label: str) -> list[int]:
    """Return the columns that may be parts of a key: identifiers first, then from the left."""
    candidates = [index for index, column in enumerate(columns) if column.name != label and _is_candidate(column)]
    candidates.sort(key=lambda index: -columns[index].distinct)
    return sorted(candidates[:_MAX_CANDIDATES], key=lambda index: (not is_id(columns[index].name), index))


def _is_candidate(column: Column) -> bool:
    return column.type in _TYPES and not column.nulls and 1 < column.distinct and column.longest <= _MAX_TEXT


def _combinations(candidates: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(1, MAX_COLUMNS + 1):
        yield from combinations(candidates, size)
