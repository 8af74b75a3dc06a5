"""
Compare one challenger with one opponent on the same rows: the difference and its confidence interval. Pure.

A positive difference always means that the challenger is better: the loss is incumbent - challenger, in units of the task, and
ROC AUC, which is for classes alone, is challenger - incumbent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from perennial.config.label import Constant
from perennial.config.pipeline import Gate
from perennial.display.metrics import label_of
from perennial.evaluate.bootstrap import (
    CONFIDENCE,
    Interval,
    Statistic,
    auc_difference,
    interval,
    mean_difference,
    mean_of,
    ordered_pairs,
)
from perennial.evaluate.judged import Holdout, Selection, sorted_by_class
from perennial.models.metrics import Floats, Labels
from perennial.models.sums import add_in_order
from perennial.store.json_value import JsonValue
from perennial.tasks.task import LearningTask

Verdict = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True, slots=True)
class Challenger:
    """
    One candidate.

    :param p: its predictions on the holdout rows, in order: [rows] or [rows, classes]
    :param constant: the constant forecast of its window
    """

    name: str
    version: str
    p: Floats
    metrics: Mapping[str, float | None]
    constant: Constant


@dataclass(frozen=True, slots=True)
class Opponent:
    """The incumbent or the anchor. `p` is None if it cannot be judged on today's rows; then `why` is the reason."""

    role: Literal["incumbent", "anchor"]
    version: str
    p: Floats | None
    age_days: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    The result of a comparison on all rows (slice '') or on one slice. UNKNOWN: it could not be judged; `why` is the reason.

    :param metric: the name of the difference of losses
    :param loss: that difference
    :param is_classes: whether ROC AUC judges the models, too
    """

    against: str
    version: str
    verdict: Verdict | Literal["UNKNOWN"]
    metric: str = "log_loss"
    loss: Interval | None = None
    roc_auc: Interval | None = None
    slice: str = ""
    rows: int = 0
    why: str = ""
    is_classes: bool = True

    def reason(self, margin: float, of_auc: float) -> str:
        """
        Describe the result in one line.

        :param margin: the allowed loss
        :param of_auc: the allowed loss of ROC AUC
        """
        where = f" on {self.slice}" if self.slice else ""
        if self.loss is None:
            return f"the {self.against} {self.version} cannot be judged{where}: {self.why}"
        metric = label_of(self.metric)
        text = f"against the {self.against} {self.version}{where}: {metric} {_format_interval(self.loss, margin)}"
        return text if self.roc_auc is None else f"{text}, ROC AUC {_format_interval(self.roc_auc, of_auc)}"

    @property
    def intervals(self) -> dict[str, JsonValue]:
        """Return the differences by name."""
        found: dict[str, JsonValue] = {self.metric: numbers(self.loss)}
        return {**found, "roc_auc": numbers(self.roc_auc)} if self.is_classes else found

    def stored(self) -> dict[str, JsonValue]:
        """Return the form that a decision stores."""
        return {
            "against": self.against,
            "version": self.version,
            "slice": self.slice or None,
            "rows": self.rows,
            "decision": self.verdict,
            **self.intervals,
            "why": self.why,
        }


def by_rule(found: Interval, margin: float) -> Verdict:
    """
    Compare a two-sided 90 % interval with -margin: PROMOTE if it lies above, REJECT if below, HOLD if it contains -margin.

    Each bound alone is a test at 5 %.
    """
    if found.low > -margin:
        return "PROMOTE"
    return "REJECT" if found.high < -margin else "HOLD"


def compare(ours: Challenger, opponent: Opponent, holdout: Holdout, gate: Gate, seed: int) -> list[Comparison]:
    """Compare on all rows and, with the incumbent, on every slice. A slice with too few rows is UNKNOWN."""
    metric, is_classes = holdout.task.difference, holdout.task.is_classes
    if opponent.p is None:
        return [Comparison(opponent.role, opponent.version, "UNKNOWN", metric, why=opponent.why, is_classes=is_classes)]
    # One unit for all comparisons: a slice or a day whose labels vary little would have a unit of next to nothing.
    unit = holdout.task.unit(holdout.y, ours.constant)
    comparisons = [_compare(ours, opponent, opponent.p, holdout, unit, holdout.all_rows, gate, seed, "")]
    for column in holdout.slices if opponent.role == "incumbent" else ():
        for value, rows, selection in holdout.slices_of(column, gate.slice_min_rows):
            label = f"{column}={value}"
            if selection is None:
                why = f"{rows} rows, at least {gate.slice_min_rows} are needed"
                unknown = Comparison(opponent.role, opponent.version, "UNKNOWN", metric, slice=label, rows=rows, why=why)
                comparisons.append(replace(unknown, is_classes=is_classes))
            else:
                comparisons.append(_compare(ours, opponent, opponent.p, holdout, unit, selection, gate, seed, label))
    return comparisons


def _compare(
    challenger: Challenger,
    opponent: Opponent,
    theirs: Floats,
    holdout: Holdout,
    unit: float,
    selection: Selection,
    gate: Gate,
    seed: int,
    label: str,
) -> Comparison:
    task, y, ours, days = holdout.task, holdout.y, challenger.p, len(selection.dates)
    rows, gains = np.zeros(days), np.zeros(days)
    for day, values in enumerate(zip(*map(selection.by_date, (y, ours, theirs)), strict=True)):
        rows[day], gains[day] = len(values[0]), _sum_gains(task, *values)
    loss = interval(mean_difference(gains / unit, rows), days, seed)
    verdict = by_rule(loss, task.margin(gate))
    roc_auc: Interval | None = None
    if statistics := [*_auc_differences(task, y, ours, theirs, selection, rows)]:
        roc_auc = _within_one(interval(mean_of(statistics), days, seed))
        if by_rule(roc_auc, gate.margin.roc_auc) == "REJECT":
            verdict = "REJECT"
    total, is_classes = int(rows.sum()), task.is_classes
    return Comparison(
        opponent.role, opponent.version, verdict, task.difference, loss, roc_auc, label, total, is_classes=is_classes
    )


def _auc_differences(
    task: LearningTask, y: Labels, ours: Floats, theirs: Floats, selection: Selection, rows: Floats
) -> Iterator[Statistic]:
    """Yield the difference of ROC AUC for each class with enough rows, on enough dates, and rows of others."""
    for (positive, our_p), (_, their_p) in zip(task.rankings(y, ours), task.rankings(y, theirs), strict=True):
        positives = np.array([np.count_nonzero(some) for some in selection.by_date(positive)], dtype=np.float64)
        enough = positives.sum() >= task.least_of_class and np.count_nonzero(positives) >= task.dates_of_class
        if enough and positives.sum() < rows.sum():
            wins = ordered_pairs(sorted_by_class(positive, our_p, selection))
            wins -= ordered_pairs(sorted_by_class(positive, their_p, selection))
            yield auc_difference(wins, positives, rows - positives)


def _sum_gains(task: LearningTask, y: Labels, ours: Floats, theirs: Floats) -> float:
    """Return how much lower the sum of our losses is."""
    return add_in_order(lambda part: task.losses(y[part], theirs[part]) - task.losses(y[part], ours[part]), len(y))


def _within_one(found: Interval) -> Interval:
    """
    Return an interval whose finite bounds are possible for a difference of two ROC AUCs, which is at most 1.

    With few positives the bootstrap's bounds can lie beyond. No verdict depends on this, since a margin is below 1.
    """
    low, high = (bound if np.isinf(bound) else float(np.clip(bound, -1, 1)) for bound in (found.low, found.high))
    return Interval(low, found.mid, high)


def _format_interval(delta: Interval, margin: float) -> str:
    level = f"{CONFIDENCE:.0%} interval".replace("%", " %")
    return f"{_format_delta(delta.mid)} ({level}: {_format_bounds(delta)}; up to {margin:g} worse is allowed)"


def _format_bounds(delta: Interval) -> str:
    """Describe an interval in words, and say so if the data cannot give a bound."""
    is_known = np.isfinite(delta.low), np.isfinite(delta.high)
    if all(is_known):
        return f"{_format_delta(delta.low)} to {_format_delta(delta.high)}"
    if is_known[0]:
        return f"at worst {_format_delta(delta.low)}, no upper limit"
    if is_known[1]:
        return f"at best {_format_delta(delta.high)}, no lower limit"
    return "no limit on either side, the holdout is too small"


def _format_delta(value: float) -> str:
    return f"{abs(value):.4f} {'worse' if value < 0 else 'better'}"


def numbers(found: Interval | None) -> list[float | None] | None:
    """Return [low, mid, high]; a bound that the data cannot give is null. Nine digits, because the last bits are noise."""
    if found is None:
        return None
    return [round(value, 9) if np.isfinite(value) else None for value in (found.low, found.mid, found.high)]
