"""
The score of a series of predictions, added up part by part: memory does not grow with rows.

The loss is exact. ROC AUC is exact up to MAX_VALUES different probabilities as 32-bit floats, which is what models give.
Beyond, the last bits of all are left out, so neighbours count as ties: ten million rows lost seven bits in a trial, and ROC AUC
moved by less than 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from perennial.evaluate.bootstrap import Interval, interval, mean_difference
from perennial.models import ranks
from perennial.models.metrics import Floats, Labels
from perennial.store.json_value import JsonValue
from perennial.tasks.task import LearningTask

MAX_VALUES = 1 << 20
"""Maximum number of different probabilities that a tally holds: 20 bytes each."""

MIN_MERGED = 100_000
"""Minimum number of new values to merge, unless they are asked for."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """The metrics of one model on some rows; ROC AUC is None if all rows have one class, or if labels are no classes."""

    loss: float
    roc_auc: float | None

    def to_json(self, task: LearningTask) -> dict[str, JsonValue]:
        """Return the metrics by their names in a task."""
        found: dict[str, JsonValue] = {task.loss_name: self.loss}
        return {**found, "roc_auc": self.roc_auc} if task.is_classes else found


@dataclass(slots=True)
class Ranks:
    """The rows so far of a class and of others, by their probability."""

    _shift: int = 0
    _keys: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, dtype=np.uint32))
    _counts: Counts = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int64))
    _new: list[tuple[NDArray[np.uint32], Counts]] = field(default_factory=list)

    def add(self, positive: NDArray[np.bool_], p: Floats) -> None:
        """
        Add rows.

        :param positive: whether a row is of the class
        """
        keys = (np.asarray(p, dtype=np.float32) + np.float32(0)).view(np.uint32) >> np.uint32(self._shift)
        self._append(keys, np.array([~positive, positive], dtype=np.int64))

    def add_ranks(self, other: Ranks) -> None:
        """Add the rows of others."""
        other._merge()
        if self._shift < other._shift:
            self._merge()
            self._keys, self._shift = self._keys >> np.uint32(max(other._shift - self._shift, 0)), max(self._shift, other._shift)
        self._append(other._keys >> np.uint32(self._shift - other._shift), other._counts)

    def roc_auc(self, least: int) -> float | None:
        """Return the ROC AUC of all rows; None: fewer than `least` are of the class, or all of them are."""
        self._merge()
        negatives, positives = self._counts
        if positives.sum() < least:
            return None
        return ranks.roc_auc([(positives, negatives)], int(positives.sum()), int(negatives.sum()))

    def _append(self, keys: NDArray[np.uint32], counts: Counts) -> None:
        self._new.append((keys, counts))
        # Merging sorts all values: merge a few large batches, not each date.
        if sum(len(new) for new, _ in self._new) > max(len(self._keys), MIN_MERGED):
            self._merge()

    def _merge(self) -> None:
        if not self._new:
            return
        keys = np.concatenate([self._keys, *(new for new, _ in self._new)])
        counts = np.concatenate([self._counts, *(new for _, new in self._new)], axis=1)
        self._new.clear()
        while True:
            order = np.argsort(keys)
            keys, counts = keys[order], counts[:, order]
            begins = np.flatnonzero(np.concatenate((np.ones(min(len(keys), 1), dtype=np.bool_), keys[1:] != keys[:-1])))
            keys, counts = keys[begins], np.add.reduceat(counts, begins, axis=1) if len(begins) else counts
            if len(keys) <= MAX_VALUES:
                break
            keys, self._shift = keys >> np.uint32(1), self._shift + 1
        self._keys, self._counts = keys, counts


@dataclass(slots=True)
class Tally:
    """The rows of a series so far: the sum of their losses, and for each class the ranks of its probabilities."""

    task: LearningTask
    rows: int = 0
    loss: float = 0.0
    _ranks: list[Ranks] = field(default_factory=list)

    def add(self, y: Labels, p: Floats) -> None:
        """Add rows."""
        self.rows += len(y)
        self.loss += float(self.task.losses(y, p).sum())
        for place, (positive, of_class) in enumerate(self.task.rankings(y, p)):
            self._of_class(place).add(positive, of_class)

    def add_tally(self, other: Tally) -> None:
        """Add the rows of another tally."""
        self.rows += other.rows
        self.loss += other.loss
        for place, ranked in enumerate(other._ranks):
            self._of_class(place).add_ranks(ranked)

    @property
    def score(self) -> Score:
        """Return the metrics of all rows: of several classes, the mean ROC AUC of those with enough rows."""
        found = [auc for ranked in self._ranks if (auc := ranked.roc_auc(self.task.least_of_class)) is not None]
        return Score(self.loss / self.rows if self.rows else float("inf"), sum(found) / len(found) if found else None)

    def _of_class(self, place: int) -> Ranks:
        if place == len(self._ranks):
            self._ranks.append(Ranks())
        return self._ranks[place]


@dataclass(slots=True)
class Pool:
    """The tallies of the dates that every series has."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)

    @property
    def dates(self) -> int:
        """Return the number of pooled dates."""
        return len(self.rows)

    def add(self, series: Mapping[str, Tally]) -> None:
        """Add a date."""
        self.rows.append(next(iter(series.values())).rows)
        for name, tally in series.items():
            self.tallies.setdefault(name, Tally(tally.task)).add_tally(tally)
            self.losses.setdefault(name, []).append(tally.loss)

    def scores(self) -> dict[str, Score]:
        """Return the metrics of each series over all rows."""
        return {name: tally.score for name, tally in self.tallies.items()}

    def difference(self, better: str, worse: str) -> Interval:
        """Return the loss of `worse` minus that of `better`, with the gate's paired bootstrap over dates."""
        sums = np.array(self.losses[worse]) - np.array(self.losses[better])
        return interval(mean_difference(sums, np.array(self.rows, dtype=np.float64)), self.dates, seed=0)
