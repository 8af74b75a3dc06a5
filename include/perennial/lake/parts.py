"""The parts in which rows of many dates are read, so that memory does not grow with a date."""

from __future__ import annotations

import math
from itertools import pairwise

from perennial.lake.sample import SAMPLE_BITS

MAX_READ = 250_000
"""
Maximum rows that are read at once: about 250 bytes each, twice.

Up to this number, all dates are read at once. Beyond, each date is read in parts, by ranges of the hash by which it is sorted.
"""

ALL = 1 << SAMPLE_BITS
"""The limit below which the hash of every row lies."""


def ranges(rows: int, limit: int = ALL) -> list[tuple[int, int]]:
    """
    Return ranges of the hash below a limit, each with about MAX_READ of a date's rows.

    They follow from the number of rows alone, so every reader divides a date in the same way.
    """
    parts = max(1, math.ceil(rows * limit / (MAX_READ << SAMPLE_BITS)))
    return list(pairwise(part * limit // parts for part in range(parts + 1)))


def fits(rows: int) -> bool:
    """Return whether rows are read at once."""
    return rows <= MAX_READ
