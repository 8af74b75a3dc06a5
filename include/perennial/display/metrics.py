"""The names of metrics as a person reads them."""

from __future__ import annotations

_LABELS = {"roc_auc": "ROC AUC", "pr_auc": "PR AUC"}


def label_of(metric: str) -> str:
    """Return the name of a metric in words."""
    return _LABELS.get(metric, metric.replace("_", " "))
