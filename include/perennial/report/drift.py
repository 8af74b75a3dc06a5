"""Drift: the distance between the numeric inputs of a day and those of the days before it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perennial.config.pipeline import Inputs
from perennial.models.metrics import Floats
from perennial.models.scoring import Numbers, number_columns

if TYPE_CHECKING:
    import pyarrow as pa

REFERENCE_DAYS = 28
"""Number of days before a day against which its drift is measured."""

BINS = 10
MAX_KEPT = 20_000
"""Maximum rows of a day that place the bins: their shares are then a tenth, give or take 0.2 percent."""


@dataclass(frozen=True, slots=True)
class Drift:
    """
    The drift of a day's numeric inputs against the days before, as population stability indices.

    :param median: the median of all inputs; inputs that are the same all day, such as weather, move every day
    :param largest: the largest index, which is that of the input `column`
    """

    median: float
    largest: float
    column: str


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some rows of a day: the first MAX_KEPT that were read, of files sorted by hash; and the number of all its rows."""

    numbers: Numbers
    rows: int


class DriftMeter:
    """
    Measure the drift of each day against the days before it: the population stability index over ten bins.

    The bins divide the first days into equal shares. Of each of these, at most MAX_KEPT rows count.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        # Leave out dates, because they move by a day every day.
        self._columns = [name for name in inputs.numbers if name not in inputs.request or inputs.request[name].type != "date"]
        self._first: list[_Sample] = []
        self._edges: list[Floats] = []
        self._before: deque[list[Floats]] = deque(maxlen=REFERENCE_DAYS)
        self._counts: list[Floats] | None = None
        self._sample: _Sample | None = None

    def add(self, rows: pa.Table) -> None:
        """Add a part of the rows of the present day. The parts of a big day are ranges of its rows' hashes."""
        if not self._columns:
            return
        indices = [self._inputs.numbers.index(name) for name in self._columns]
        numbers = number_columns(rows, self._inputs)[:, indices]
        if self._edges:
            counts = self._count(numbers)
            known = self._counts or [np.zeros(len(column)) for column in counts]
            self._counts = [before + now for before, now in zip(known, counts, strict=True)]
        else:
            sample = self._sample or _Sample(numbers[:0], 0)
            kept = np.concatenate([sample.numbers, numbers[: MAX_KEPT - len(sample.numbers)]])
            self._sample = _Sample(kept, sample.rows + len(numbers))

    def finish_day(self) -> Drift | None:
        """Return the drift of the present day, or None while too few days are known, and begin the next day."""
        today, self._counts = self._counts, None
        sample, self._sample = self._sample, None
        if today is not None:
            before = [np.sum(counts, axis=0) for counts in zip(*self._before, strict=True)]
            self._before.append(today)
            drifts = [_stability_index(now, then) for now, then in zip(today, before, strict=True)]
            largest, column = max(zip(drifts, self._columns, strict=True))
            return Drift(float(np.median(drifts)), largest, column)
        if sample is not None:
            self._first.append(sample)
        if len(self._first) == REFERENCE_DAYS:
            self._edges = [_find_edges(column) for column in np.concatenate([day.numbers for day in self._first]).T]
            self._before.extend(self._count_sample(day) for day in self._first)
            self._first.clear()
        return None

    def _count_sample(self, day: _Sample) -> list[Floats]:
        """Return the counts that the whole day would have."""
        return [counts * (day.rows / max(len(day.numbers), 1)) for counts in self._count(day.numbers)]

    def _count(self, numbers: Numbers) -> list[Floats]:
        """Count the values of each column in each bin; the last count is that of missing values."""
        histograms = []
        for column, edges in zip(numbers.T, self._edges, strict=True):
            known = column[np.isfinite(column)]
            counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
            histograms.append(np.append(counts, len(column) - len(known)).astype(np.float64))
        return histograms


def _find_edges(column: Numbers) -> Floats:
    """Return the bin edges that divide the known values of a column into ten equal shares."""
    known = column[np.isfinite(column)]
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.array([0.0])


def _stability_index(today: Floats, before: Floats) -> float:
    """Return the sum of (p - q) ln(p / q) over the bins. Half a row is added to each bin, so that an empty bin stays finite."""
    p, q = (today + 0.5) / (today + 0.5).sum(), (before + 0.5) / (before + 0.5).sum()
    return float(((p - q) * np.log(p / q)).sum())
