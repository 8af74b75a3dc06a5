"""The column of the features and of the labels that places a row in samples and in buckets: a hash of its date and row key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = "__sample"
"""Its name. Spark computes it, so texts are hashed alike everywhere, and sorts each date by it."""

SAMPLE_BITS = 31
"""The number of its bits: it is an integer of 32 bits that is never negative."""

ALL = 1 << SAMPLE_BITS
"""The limit below which the hash of every row lies."""

MIN_JUDGED = 1_000
"""Minimum rows of each date of a holdout that are judged, about, so that no date is left out; all, if it has fewer."""


def limit_for(wanted: int, rows: int) -> int:
    """Return the limit below which `wanted` of `rows` hashes lie, about; at least one."""
    return ALL if wanted >= rows else max(1, (wanted << SAMPLE_BITS) // rows)


def judged_below(max_rows: int | None, rows: int) -> int | None:
    """
    Return the limit of the hash below which rows of a holdout are judged, or None to judge all of them.

    It is one limit for all dates: each keeps the same share of its rows, and so its weight among the others.
    """
    return None if max_rows is None or rows <= max_rows else limit_for(max_rows, rows)


def judged_limits(below: int | None, rows: Mapping[date, int]) -> dict[date, int]:
    """
    Return the limit of the hash below which rows of each date are judged: a higher one for dates of few rows.

    :param below: the limit of the holdout, from `judged_below`
    :param rows: the rows of each date of the holdout
    """
    return {day: ALL if below is None else max(below, limit_for(MIN_JUDGED, count)) for day, count in rows.items()}


def filter_below(table: pa.Table, limits: Mapping[date, int]) -> pa.Table:
    """Return the rows whose hash is lower than the limit of their date."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(table["date"], value_set=pa.array(list(limits), pa.date32()))
    return table.filter(pc.less(table[SAMPLE], pa.array(limits.values(), pa.int64()).take(places.combine_chunks())))
