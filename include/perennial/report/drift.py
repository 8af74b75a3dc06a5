"""How far the numbers of a day lie from those of the days before it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perennial.config.pipeline import Inputs
from perennial.evaluate.bootstrap import Floats
from perennial.models.scoring import Numbers, to_arrays

if TYPE_CHECKING:
    import pyarrow as pa

REFERENCE_DAYS = 28
"""A day's drift is measured against so many days before it."""

BINS = 10


@dataclass(frozen=True, slots=True)
class Drift:
    """
    How far a day's numeric inputs lie from those of the days before, as population stability indices.

    :param median: of all inputs: those that are the same all day, such as weather, move every day
    :param largest: of the input `column`
    """

    median: float
    largest: float
    column: str


class DriftMeter:
    """How far the numbers of a day lie from those of the days before it: the population stability index over ten bins."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        # The date itself moves by a day every day.
        self._columns = [name for name in inputs.numbers if name not in inputs.request or inputs.request[name].type != "date"]
        self._first: list[Numbers] = []
        self._edges: list[Floats] = []
        self._before: deque[list[Floats]] = deque(maxlen=REFERENCE_DAYS)

    def of(self, rows: pa.Table) -> Drift | None:
        """Return the drift of a day, and remember the day; None while too few days are known."""
        if not self._columns:
            return None
        wanted = [self._inputs.numbers.index(name) for name in self._columns]
        numbers = to_arrays(rows, self._inputs)[0][:, wanted]
        if self._edges:
            today = self._counts(numbers)
            before = [np.sum(one, axis=0) for one in zip(*self._before, strict=True)]
            self._before.append(today)
            indices = [_stability_index(now, then) for now, then in zip(today, before, strict=True)]
            largest, column = max(zip(indices, self._columns, strict=True))
            return Drift(float(np.median(indices)), largest, column)
        self._first.append(numbers)
        if len(self._first) == REFERENCE_DAYS:
            self._edges = [_edges(column) for column in np.concatenate(self._first).T]
            self._before.extend(self._counts(one) for one in self._first)
            self._first.clear()
        return None

    def _counts(self, numbers: Numbers) -> list[Floats]:
        """Return for each column how many values lie in each bin, and last how many are missing."""
        found = []
        for column, edges in zip(numbers.T, self._edges, strict=True):
            known = column[np.isfinite(column)]
            counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
            found.append(np.append(counts, len(column) - len(known)).astype(np.float64))
        return found


def _edges(column: Numbers) -> Floats:
    """Return what parts the known values of a column into ten equal shares."""
    known = column[np.isfinite(column)]
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.array([0.0])


def _stability_index(today: Floats, before: Floats) -> float:
    """Return the sum of (p - q) ln(p / q) over the bins; half a row in each keeps empty bins from being infinitely far."""
    p, q = (today + 0.5) / (today + 0.5).sum(), (before + 0.5) / (before + 0.5).sum()
    return float(((p - q) * np.log(p / q)).sum())
