"""Losses of predictions by row, and the paired interval of their differences."""

from __future__ import annotations

import numpy as np
from candidate_sets import INTERVAL, Task
from candidate_splits import Places
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 1000
SMALLEST = float(np.finfo(np.float64).eps)
"""The lowest probability before a logarithm, as in scikit-learn's log_loss."""


def row_losses(task: Task, y: NDArray[np.generic], predictions: Floats) -> Floats:
    """
    Return the log loss of each row, or its squared error.

    :param predictions: the probability of the second class [rows], those of all classes [rows, classes], or the numbers [rows]
    """
    if task == "regression":
        return np.asarray((y - predictions) ** 2, dtype=np.float64)
    if task == "binary":
        predictions = np.stack([1 - predictions, predictions], axis=1)
    right = predictions[np.arange(len(y)), y.astype(np.int64)]
    return np.asarray(-np.log(np.clip(right, SMALLEST, 1.0)), dtype=np.float64)


def constant_forecast(task: Task, y: NDArray[np.generic], classes: int, rows: int) -> Floats:
    """Return the forecast that knows only the labels trained on: the share of each class, or the mean."""
    if task == "multiclass":
        return np.tile(np.bincount(y.astype(np.int64), minlength=classes) / len(y), (rows, 1))
    return np.full(rows, y.mean())


def paired_interval(first: Floats, second: Floats, units: Places) -> tuple[float, float]:
    """
    Return the interval of the mean difference of two losses of the same rows, from a seeded bootstrap over their units.

    :param units: rows of one unit are drawn together, because their losses are not independent
    """
    known, place = np.unique(units, return_inverse=True)
    total, rows = np.bincount(place, weights=first - second), np.bincount(place)
    generator, means = np.random.default_rng(0), np.empty(DRAWS)
    for draw in range(DRAWS):
        drawn = generator.integers(0, len(known), len(known))
        means[draw] = total[drawn].sum() / rows[drawn].sum()
    low, high = np.quantile(means, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)
