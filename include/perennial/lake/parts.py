"""The parts in which rows of many dates are read, so that memory does not grow with a date."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

from perennial.lake.sample import ALL, SAMPLE_BITS

if TYPE_CHECKING:
    import pyarrow as pa

MAX_READ = 250_000
"""
Maximum rows that are read at once: about 250 bytes each, twice.

Up to this number, all dates are read at once. Beyond, each date is read in parts, by ranges of the hash by which it is sorted.
"""


def divide(rows: Mapping[date, int], limits: Mapping[date, int]) -> Iterator[tuple[list[date], tuple[int, int] | None]]:
    """
    Yield the parts in which dates are read: all of them, or one date and a range of the hash.

    The parts follow from the numbers of rows alone, so every reader of the same dates divides them in the same way.

    :param rows: the rows of each date
    :param limits: the limit of each date below which its rows are needed
    """
    if is_read_at_once(sum(rows.values())):
        yield list(rows), None
        return
    for day, count in rows.items():
        for among in ranges(count, limits[day]):
            yield [day], among


def ranges(rows: int, limit: int = ALL) -> list[tuple[int, int]]:
    """Return ranges of the hash below a limit, each with about MAX_READ of a date's rows."""
    parts = max(1, math.ceil(rows * limit / (MAX_READ << SAMPLE_BITS)))
    return list(pairwise(part * limit // parts for part in range(parts + 1)))


def is_read_at_once(rows: int) -> bool:
    """Return whether rows are read at once."""
    return rows <= MAX_READ


def count_rows(table: pa.Table) -> dict[date, int]:
    """Return the number of rows of each date."""
    import pyarrow.compute as pc

    return {item["values"]: item["counts"] for item in pc.value_counts(table["date"]).to_pylist()}
