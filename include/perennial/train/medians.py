"""Exact medians of columns of any length, in two passes and bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perennial.models.scoring import Numbers

_HALF = 1 << 16


class Medians:
    """
    The medians of some columns of 32-bit floats, without their NaN.

    The bits of a float, read as an ordered integer, are counted by their upper half in a first pass. A second pass counts the
    lower halves of those values whose upper half is that of a middle value. That takes 1.5 MB a column.
    """

    def __init__(self, columns: int) -> None:
        self.nulls = np.zeros(columns, dtype=np.int64)
        self._upper = np.zeros((columns, _HALF), dtype=np.int64)
        self._lower = np.zeros((2, columns, _HALF), dtype=np.int64)
        self._middle: NDArray[np.int64] | None = None

    def count(self, values: Numbers) -> None:
        """Count some rows, [rows, columns], in the first pass."""
        for index, column in enumerate(values.T):
            known = _ordered(column)
            self.nulls[index] += len(column) - len(known)
            self._upper[index] += np.bincount(known >> 16, minlength=_HALF)

    def count_near(self, values: Numbers) -> None:
        """Count the same rows in the second pass."""
        if self._middle is None:
            self._middle = np.array([self._upper_half(rank) for rank in self._ranks()])
        for index, column in enumerate(values.T):
            known = _ordered(column)
            for place in range(2):
                near = known[known >> 16 == self._middle[place, index]]
                self._lower[place, index] += np.bincount(near & (_HALF - 1), minlength=_HALF)

    def values(self) -> NDArray[np.float64]:
        """Return the median of each column, the mean of the two middle values if there are two. A column of NaN has 0."""
        found = np.zeros((2, len(self.nulls)))
        if self._middle is None:  # no rows were counted
            return np.zeros(len(self.nulls))
        for place, ranks in enumerate(self._ranks()):
            for index, rank in enumerate(ranks):
                upper = self._middle[place, index]
                before = self._upper[index, :upper].sum()
                lower = np.searchsorted(np.cumsum(self._lower[place, index]), rank - before, side="right")
                found[place, index] = _float(int(upper) << 16 | int(lower))
        return np.where(self._upper.sum(axis=1) > 0, found.mean(axis=0), 0.0)

    def edges(self, bins: int) -> list[list[float]]:
        """
        Return for each column the edges of at most so many bins with about the same number of rows, in order.

        An edge is the quantile with the last 16 bits cleared, within 1 % of it, so one pass is enough. A column with fewer than
        two different bins has no edges.
        """
        found = []
        for counts in self._upper:
            sums = np.cumsum(counts)
            ranks = np.round(np.linspace(0, max(sums[-1] - 1, 0), bins + 1)).astype(np.int64)
            places = np.unique(np.searchsorted(sums, ranks, side="right")).tolist() if sums[-1] else []
            values = sorted({_float(place << 16) for place in places})
            found.append(values if len(values) > 2 else [])
        return found

    def _ranks(self) -> NDArray[np.int64]:
        """Return the two middle ranks of each column, [2, columns]."""
        known = self._upper.sum(axis=1)
        return np.stack([np.maximum(known - 1, 0) // 2, known // 2])

    def _upper_half(self, ranks: NDArray[np.int64]) -> list[int]:
        sums = np.cumsum(self._upper, axis=1)
        return [min(int(np.searchsorted(row, rank, side="right")), _HALF - 1) for row, rank in zip(sums, ranks, strict=True)]


def _ordered(column: Numbers) -> NDArray[np.uint32]:
    """Return the values without NaN as integers in the same order. 0.0 and -0.0 are one value."""
    known = np.ascontiguousarray(column[~np.isnan(column)], dtype=np.float32) + np.float32(0.0)
    bits = known.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)


def _float(ordered: int) -> float:
    bits = ordered ^ (1 << 31) if ordered >> 31 else ~ordered & 0xFFFFFFFF
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])
