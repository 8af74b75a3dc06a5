"""Sums and means of values that are made part by part, with the bits that numpy gives for all values at once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

PART_ROWS = 1 << 16
"""Rows of a part at most, at least 128: below, numpy's own sum is no tree."""


def parts_of(rows: int) -> Iterator[slice]:
    """Yield the parts of some rows, in order."""
    for begin in range(0, rows, PART_ROWS):
        yield slice(begin, min(begin + PART_ROWS, rows))


def mean(values: Callable[[slice], NDArray[np.float64]], rows: int) -> float:
    """Return `np.mean` of `rows` values; infinity if there are none."""
    return _sum(values, 0, rows) / rows if rows else float("inf")


def _sum(values: Callable[[slice], NDArray[np.float64]], begin: int, rows: int) -> float:
    """Add as numpy does: the sums of two halves, of which the first is a multiple of eight."""
    if rows <= PART_ROWS:
        return float(np.sum(values(slice(begin, begin + rows))))
    half = rows // 2
    half -= half % 8
    return _sum(values, begin, half) + _sum(values, begin + half, rows - half)


def add_in_order(values: Callable[[slice], NDArray[np.float64]], rows: int) -> float:
    """Return the sum of values added one after another, as `np.bincount` adds its weights."""
    total = 0.0
    for part in parts_of(rows):
        total = float(np.add.accumulate(np.concatenate(([total], values(part))))[-1])
    return total
