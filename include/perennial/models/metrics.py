"""
Metrics of predicted probabilities against outcomes. Pure. y is 0 or 1, and p is the probability of 1.

They are exact for any number of rows. Beside y and p, they hold 8 bytes a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.models import ranks
from perennial.models.ranks import Keys, rank
from perennial.models.sums import mean, parts_of

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]
Labels = NDArray[Any]
"""Labels of rows: 0 and 1, or numbers."""

SMALLEST = float(np.finfo(np.float64).eps)
"""Minimum distance of a probability from 0 and 1 before a logarithm, as in scikit-learn's log_loss."""

_BINS = 10


def losses(y: Integers, p: Floats) -> Floats:
    """Return the log loss of each row."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(-np.where(y == 1, np.log(clipped), np.log1p(-clipped)))


def log_loss(y: Integers, p: Floats) -> float:
    """Return the mean log loss. A certain but wrong forecast costs much, but never infinitely much."""
    return mean(lambda part: losses(y[part], p[part]), len(y))


def brier(y: Integers, p: Floats) -> float:
    """Return the mean squared error of the probabilities."""
    return mean(lambda part: (p[part] - y[part]) ** 2, len(y))


def accuracy(y: Integers, p: Floats) -> float:
    """Return the share of rows predicted correctly at a threshold of one half."""
    return mean(lambda part: (p[part].round() == y[part]).astype(np.float64), len(y))


def roc_auc(y: Integers, p: Floats) -> float | None:
    """Return the area under the ROC curve, or None if only one class occurs."""
    return _roc_auc(rank(y, p))


def all_metrics(y: Integers, p: Floats) -> dict[str, float | None]:
    """Return every metric by name."""
    ranked = rank(y, p)
    positives = ranks.count_positives(ranked)
    return {
        "roc_auc": _roc_auc(ranked),
        "pr_auc": ranks.average_precision(ranks.groups(ranked), positives, len(ranked) - positives),
        "log_loss": log_loss(y, p),
        "brier": brier(y, p),
        "accuracy": accuracy(y, p),
        "calibration_error": _calibration_error(y, p, ranked),
    }


def _roc_auc(ranked: Keys) -> float | None:
    positives = ranks.count_positives(ranked)
    return ranks.roc_auc(ranks.groups(ranked), positives, len(ranked) - positives)


def _calibration_error(y: Integers, p: Floats, ranked: Keys) -> float:
    """Return the expected calibration error: |mean p - mean y| over ten equal-sized bins of p, weighted by rows."""
    rows = len(y)
    ends = np.cumsum([len(part) for part in np.array_split(np.empty(rows, dtype=np.bool_), _BINS)]).tolist()
    error, begin, before = 0.0, 0, 0
    for end in ends:
        if end > begin:
            below = _count_positives_below(y, p, ranked, end)
            expected = _mean_probability(ranked[begin:end])
            error += abs(expected - (below - before) / (end - begin)) * (end - begin)
            begin, before = end, below
    return error / rows


def _mean_probability(ranked: Keys) -> float:
    return mean(lambda part: ranks.probabilities(ranked[part]), len(ranked))


def _count_positives_below(y: Integers, p: Floats, ranked: Keys, end: int) -> int:
    """Return the positives among the `end` lowest rows. Of rows with equal p, the first ones count."""
    tied = ranked[end - 1] >> np.uint64(1)
    first = int(np.searchsorted(ranked, tied << np.uint64(1)))
    below, missing, value = ranks.count_positives(ranked[:first]), end - first, ranks.probabilities(ranked[end - 1 : end])[0]
    if end == len(ranked) or ranked[end] >> np.uint64(1) != tied:
        return below + ranks.count_positives(ranked[first:end])
    for part in parts_of(len(p)):
        found = y[part][p[part] == value][:missing]
        below, missing = below + int(found.sum()), missing - len(found)
        if not missing:
            break
    return below
