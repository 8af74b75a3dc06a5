"""The calibration of intervals by the labels of a holdout. Pure, but for the graph that it completes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from onnx import load_from_string, numpy_helper

from perennial.config.answers import INTERVAL

if TYPE_CHECKING:
    from perennial.models.metrics import Floats, Labels
    from perennial.train.graph import GraphBuilder

QUANTILES = "quantiles"
"""The value of a graph that holds the two quantiles before they are moved, [rows, 2]."""

_SHIFT = "shift"
"""The constant of a graph that moves them: the lower one down, the upper one up."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """
    The intervals of a holdout.

    :param shift: the amount by which both quantiles move for new rows
    :param quantiles: [rows, 2]
    :param shifts: that amount for each row, by the labels of the other dates
    """

    shift: float
    quantiles: Floats
    shifts: Floats

    def bounds(self, p: Floats, begin: int, label_range: Sequence[float] | None) -> Floats:
        """
        Return the bounds of some rows as a graph with their shifts answers them, [rows, 2]: 32-bit floats around the prediction.

        :param p: the predictions of the rows
        :param begin: the place of the first one
        """
        some = slice(begin, begin + len(p))
        value, shifts = p.astype(np.float32), self.shifts[some].astype(np.float32)
        quantiles = self.quantiles[some].astype(np.float32)
        both = np.stack([np.minimum(quantiles[:, 0] - shifts, value), np.maximum(quantiles[:, 1] + shifts, value)], axis=1)
        if label_range is not None:
            both = np.clip(both, np.float32(label_range[0]), np.float32(label_range[1]))
        found: Floats = both.astype(np.float64)
        return found


def interval_metrics(y: Labels, bounds: Floats) -> dict[str, float | None]:
    """
    Return the share of labels within their intervals, and the mean width.

    :param bounds: [rows, 2]
    """
    low, high = bounds.T
    return {
        "interval_coverage": float(((low <= y) & (y <= high)).mean()),
        "interval_width": float((high - low).mean()),
    }


def calibrate(y: Labels, days: NDArray[np.generic], quantiles: Floats, level: float) -> Calibrated:
    """
    Return by how much two quantiles must move to hold a share of the labels, and the intervals of a holdout.

    Those of each date are moved by the labels of the other dates; a single date has only its own.

    :param days: the date of each row
    :param quantiles: [rows, 2]
    :param level: the share
    """
    outside = np.maximum(quantiles[:, 0] - y, y - quantiles[:, 1])
    shifts = np.empty(len(y))
    known = np.unique(days)
    for day in known:
        of_day = days == day
        shifts[of_day] = _shift(outside[~of_day] if len(known) > 1 else outside, level)
    return Calibrated(_shift(outside, level), quantiles, shifts)


def _shift(outside: Floats, level: float) -> float:
    """Return the distance that a share of rows does not exceed, with the correction for a finite number of them."""
    rank = min(math.ceil((len(outside) + 1) * level), len(outside))
    return float(np.partition(outside, rank - 1)[rank - 1])


def add_interval(graph: GraphBuilder, value: str, quantiles: str, label_range: list[float | int] | None) -> None:
    """
    Add the output of the interval: the quantiles, moved by the constant that `set_shift` sets. It holds the prediction.

    :param value: the predictions, [rows, 1]
    :param quantiles: [rows, 2]
    """
    named = graph.op("Identity", quantiles, output=QUANTILES)
    shift = graph.constant(0.0, name=_SHIFT)
    low = graph.op("Min", graph.op("Sub", graph.columns(named, [0]), shift), value)
    high = graph.op("Max", graph.op("Add", graph.columns(named, [1]), shift), value)
    both = graph.beside(low, high)
    if label_range is None:
        graph.op("Identity", both, output=INTERVAL)
    else:
        graph.op("Clip", both, *(graph.constant(bound) for bound in label_range), output=INTERVAL)


def set_shift(model: bytes, shift: float) -> bytes:
    """Return a model whose quantiles move by an amount."""
    loaded = load_from_string(model)
    (constant,) = (item for item in loaded.graph.initializer if item.name == _SHIFT)
    constant.CopyFrom(numpy_helper.from_array(np.asarray(shift, dtype=np.float32), _SHIFT))
    return bytes(loaded.SerializeToString(deterministic=True))
