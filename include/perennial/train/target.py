"""The labels of a window as a family learns them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from perennial.config.label import BinaryLabel, Label
from perennial.models.metrics import Floats, Labels

_MAX_RATIO = 1e4
"""Largest ratio of the labels to their spread. 32-bit floats have seven digits."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    A family learns (label - center) / spread, and the graph gives its answers in the unit of the label.

    :param label: the settings of the label
    :param constant: the constant forecast: the share of positive rows, or the mean, median or quantile of all labels
    :param center: their mean, or the quantile to predict; 0 for classes
    :param spread: their standard deviation, 0 if all labels are equal; 1 for classes
    """

    label: Label
    constant: float
    center: float = 0.0
    spread: float = 1.0

    @property
    def is_classes(self) -> bool:
        """Return whether labels are the classes 0 and 1."""
        return isinstance(self.label, BinaryLabel)

    @property
    def quantile(self) -> float | None:
        """Return the quantile to predict; None: the mean, or a class."""
        return None if isinstance(self.label, BinaryLabel) else self.label.quantile

    def scale(self, y: Labels) -> Labels:
        """Return labels as a family learns them."""
        if self.is_classes:
            return np.asarray(y, dtype=np.int8)
        scaled: Labels = ((y - self.center) / (self.spread or 1.0)).astype(np.float32)
        return scaled

    def unscale(self, margins: Floats) -> Floats:
        """Return a family's answers in the unit of the label."""
        return margins if self.is_classes else margins * self.spread + self.center


def warn_of_target(target: Target) -> list[str]:
    """Return a warning if 32-bit floats cannot tell the labels of a window apart well."""
    if target.is_classes or abs(target.center) <= _MAX_RATIO * target.spread:
        return []
    return [
        f"label {target.label.column}: its values are about {target.center:.6g} and differ by about {target.spread:.3g}: "
        "answers are 32-bit floats, which cannot tell such numbers apart. Subtract a constant in the SQL of the label"
    ]


def find_target(label: Label, rows: int, positives: int, read: Callable[[], Iterator[Labels]]) -> Target:
    """
    Return the target of a window. The sums are added in the order of its buckets, so they have the same bits in each run.

    A quantile holds all labels in memory, 8 bytes each.

    :param positives: the number of positive rows, if labels are classes
    :param read: yields the labels of each bucket
    """
    if isinstance(label, BinaryLabel):
        return Target(label, positives / rows if rows else 0.0)
    if not rows:
        return Target(label, 0.0, 0.0, 0.0)
    facts = [(float(y.sum()), float(y.min()), float(y.max())) for y in read() if len(y)]
    sums, least, most = zip(*facts, strict=True)
    mean = sum(sums) / rows
    if min(least) == max(most):
        return Target(label, mean, mean, 0.0)
    spread = float(np.sqrt(sum(float(((y - mean) ** 2).sum()) for y in read()) / rows))
    if label.quantile is None:
        return Target(label, mean, mean, spread)
    middle = float(np.quantile(np.concatenate(list(read())), label.quantile))
    return Target(label, middle, middle, spread)
