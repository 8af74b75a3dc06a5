"""The names of metrics as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

METRICS = (
    "roc_auc",
    "pr_auc",
    "log_loss",
    "accuracy",
    "brier",
    "calibration_error",
    "skill",
    "squared_error",
    "absolute_error",
    "pinball_loss",
    "bias",
    "coverage",
    "interval_coverage",
    "interval_width",
)
"""All metrics of all tasks, in the order of a table."""

_LABELS = {"roc_auc": "ROC AUC", "pr_auc": "PR AUC"}


def label_of(metric: str) -> str:
    """Return the name of a metric in words."""
    return _LABELS.get(metric, metric.replace("_", " "))


def found_in(candidates: Iterable[Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """Return those metrics that any candidate of a decision has: each task has its own."""
    held = {name for candidate in candidates for name, value in candidate.items() if value is not None}
    return [name for name in names if name in held]


def format_metric(value: float) -> str:
    """Return a metric with four decimals, or four digits if it is small."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.4g}"


def format_constant(value: float | Sequence[float]) -> str:
    """Return the constant forecast of a window: a number, or the share of each class."""
    return " / ".join(map(format_metric, value)) if isinstance(value, Sequence) else format_metric(value)
