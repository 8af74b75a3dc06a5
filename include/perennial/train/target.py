"""The labels of a window as a family learns them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from perennial.config.label import BinaryLabel, ClassesLabel, Constant, Label, NumberLabel
from perennial.models.metrics import Floats, Labels

_MAX_RATIO = 1e4
"""Largest ratio of the labels to their spread. 32-bit floats have seven digits."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    A family learns (label - center) / spread, and the graph gives its answers in the unit of the label.

    :param label: the settings of the label
    :param constant: the constant forecast: the share of positive rows, of each class, or the mean, median or quantile of labels
    :param center: their mean, or the quantile to predict; 0 for classes
    :param spread: their standard deviation, 0 if all labels are equal; 1 for classes
    :param present: of several classes, those that the window has, by their places: a family learns these alone
    :param floor: the probability of each class that the window lacks: with 0, one new row would cost an infinite loss
    """

    label: Label
    constant: Constant
    center: float = 0.0
    spread: float = 1.0
    present: tuple[int, ...] = ()
    floor: float = 0.0

    @property
    def is_classes(self) -> bool:
        """Return whether labels are classes: 0 and 1, or the places of several classes among those that are present."""
        return not isinstance(self.label, NumberLabel)

    @property
    def outputs(self) -> int:
        """Return the number of margins of a row: one for each class that is present, or 1."""
        return len(self.present) or 1

    @property
    def quantile(self) -> float | None:
        """Return the quantile to predict; None: the mean, or a class."""
        return self.label.quantile if isinstance(self.label, NumberLabel) else None

    def scale(self, y: Labels) -> Labels:
        """Return labels as a family learns them."""
        if self.present:
            return np.searchsorted(self.present, y).astype(np.int8)
        if self.is_classes:
            return np.asarray(y, dtype=np.int8)
        scaled: Labels = ((y - self.center) / (self.spread or 1.0)).astype(np.float32)
        return scaled

    def unscale(self, margins: Floats) -> Floats:
        """Return a family's answers in the unit of the label: of several classes, the logarithms of all probabilities."""
        if self.present:
            found = np.full((len(margins), count_classes(self.label)), np.log(self.floor) if self.floor else 0.0)
            found[:, self.present] = margins - logsumexp(margins, axis=1, keepdims=True) + np.log(self.share_of_present)
            return found
        return margins if self.is_classes else margins * self.spread + self.center

    @property
    def share_of_present(self) -> float:
        """Return the sum of the probabilities of the classes that the window has."""
        return 1 - self.floor * (count_classes(self.label) - len(self.present))


def count_classes(label: Label) -> int:
    """Return the number of classes of a label, 0 if it is a number."""
    if isinstance(label, ClassesLabel):
        return len(label.classes)
    return 2 if isinstance(label, BinaryLabel) else 0


def warn_of_target(target: Target) -> list[str]:
    """Return a warning if 32-bit floats cannot tell the labels of a window apart well."""
    if isinstance(target.label, ClassesLabel):
        absent = [name for place, name in enumerate(target.label.names) if place not in target.present]
        return [f"label {target.label.column}: no row of the window has the class {name!r}" for name in absent]
    if target.is_classes or abs(target.center) <= _MAX_RATIO * target.spread:
        return []
    return [
        f"label {target.label.column}: its values are about {target.center:.6g} and differ by about {target.spread:.3g}: "
        "answers are 32-bit floats, which cannot tell such numbers apart. Subtract a constant in the SQL of the label"
    ]


def find_target(label: Label, classes: Sequence[int], rows: int, read: Callable[[], Iterator[Labels]]) -> Target:
    """
    Return the target of a window. The sums are added in the order of its buckets, so they have the same bits in each run.

    A quantile holds all labels in memory, 8 bytes each.

    :param classes: the number of rows of each class, by its place; [] for numbers
    :param read: yields the labels of each bucket
    """
    if isinstance(label, BinaryLabel):
        return Target(label, classes[1] / rows if rows else 0.0)
    if isinstance(label, ClassesLabel):
        present = tuple(place for place, count in enumerate(classes) if count)
        floor = 1 / (rows + len(classes))
        rest = 1 - floor * (len(classes) - len(present))
        shares = [rest * count / rows if count else floor for count in classes]
        return Target(label, shares, present=present, floor=0.0 if len(present) == len(classes) else floor)
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
