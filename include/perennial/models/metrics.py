"""Metrics of predicted probabilities against outcomes. Pure. y is 0 or 1, and p is the probability of 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

Array = NDArray[np.floating | np.integer]

_BINS = 10


def roc_auc(y: Array, p: Array) -> float | None:
    """Return the area under the ROC curve, or None if only one class occurs."""
    return float(metrics.roc_auc_score(y, p)) if _both_classes(y) else None


def pr_auc(y: Array, p: Array) -> float | None:
    """Return the average precision, or None if only one class occurs."""
    return float(metrics.average_precision_score(y, p)) if _both_classes(y) else None


def log_loss(y: Array, p: Array) -> float:
    """Return the mean log loss. A certain but wrong forecast costs much, but never infinitely much."""
    return float(metrics.log_loss(y, p, labels=[0, 1]))


def brier(y: Array, p: Array) -> float:
    """Return the mean squared error of the probabilities."""
    return float(np.mean((p - y) ** 2))


def accuracy(y: Array, p: Array) -> float:
    """Return the share of rows predicted correctly at a threshold of one half."""
    return float(metrics.accuracy_score(y, p.round()))


def calibration_error(y: Array, p: Array) -> float:
    """Return the expected calibration error: |mean p - mean y| over ten equal-sized bins of p, weighted by rows."""
    order = np.argsort(p, kind="stable")
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    return float(sum(abs(p[part].mean() - y[part].mean()) * len(part) for part in bins) / len(y))


METRICS: dict[str, Callable[[Array, Array], float | None]] = {
    "roc_auc": roc_auc,
    "pr_auc": pr_auc,
    "log_loss": log_loss,
    "brier": brier,
    "accuracy": accuracy,
    "calibration_error": calibration_error,
}


def all_metrics(y: Array, p: Array) -> dict[str, float | None]:
    """Return every metric by name."""
    return {name: metric(y, p) for name, metric in METRICS.items()}


def _both_classes(y: Array) -> bool:
    return bool(len(y)) and bool(np.min(y) != np.max(y))
