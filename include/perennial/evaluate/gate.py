"""
The promotion gate: may a challenger replace the incumbent? Pure: predictions in, verdicts with every number out.

Every difference is signed so that positive means 'the challenger is better': log loss as incumbent - challenger, ROC AUC as
challenger - incumbent. docs/adr/promotion-gate.md says why each rule is as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from perennial.evaluate.bootstrap import Floats, Interval, Statistic, auc_difference, interval, mean_difference, ordered_pairs
from perennial.pipeline import Gate

Verdict = Literal["PROMOTE", "HOLD", "REJECT"]
Metrics = Mapping[str, float | None]
SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 before a logarithm, as scikit-learn's log_loss does."""


@dataclass(frozen=True, slots=True)
class Holdout:
    """The rows on which all are judged: label, index of the day, and the text columns to slice by."""

    y: NDArray[np.int_]
    day: NDArray[np.int_]
    days: int
    slices: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Challenger:
    """One candidate: its probabilities on the holdout rows, in their order, its metrics, and its window's share of positives."""

    name: str
    version: str
    p: Floats
    metrics: Metrics
    base_rate: float


@dataclass(frozen=True, slots=True)
class Opponent:
    """The incumbent or the anchor; `p` is None when it cannot be judged on today's rows, and `why` says why."""

    role: Literal["incumbent", "anchor"]
    version: str
    p: Floats | None
    age_days: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger against one opponent on all rows or on one slice."""

    against: str
    version: str
    verdict: Verdict | Literal["UNKNOWN"]
    log_loss: Interval | None = None
    roc_auc: Interval | None = None
    slice: str = ""
    rows: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says about one challenger. `is_better`: strictly better than every opponent, so a new anchor."""

    name: str
    version: str
    verdict: Verdict
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    log_loss: float
    is_better: bool


def judge(challenger: Challenger, opponents: Sequence[Opponent], holdout: Holdout, gate: Gate, seed: int) -> Judgement:
    """Judge one challenger: floors first, then the incumbent and the anchor, then the slices against the incumbent."""
    failed, unsupported = _quality(challenger, holdout, gate), _support(holdout, gate)
    comparisons = [
        comparison
        for opponent in opponents
        for comparison in _against(challenger, opponent, holdout, gate, seed, with_slices=opponent.role == "incumbent")
    ]
    rejected = [c for c in comparisons if c.verdict == "REJECT"]
    held = [c for c in comparisons if c.verdict in {"HOLD", "UNKNOWN"} and not c.slice]
    verdict: Verdict = "PROMOTE"
    reasons = [*failed, *unsupported, *(_reason(c) for c in (*rejected, *held))]
    aged = [o for o in opponents if o.role == "incumbent" and o.age_days > gate.max_age_days]
    if unsupported:
        verdict = "HOLD"
    elif failed or rejected:
        verdict = "REJECT"
    elif held and aged:
        reasons.append(f"the incumbent {aged[0].version} is {aged[0].age_days} days old, at most {gate.max_age_days}: it gives way")
    elif held:
        verdict = "HOLD"
    elif not opponents:
        reasons.append("no incumbent: the floors alone decide")
    else:
        reasons.extend(_reason(c) for c in comparisons if not c.slice)
    whole = [c for c in comparisons if not c.slice and c.log_loss is not None]
    better = all(c.log_loss is not None and c.log_loss.low > 0 for c in whole)
    log_loss = float(np.mean(losses(holdout.y, challenger.p))) if len(holdout.y) else float("inf")
    return Judgement(challenger.name, challenger.version, verdict, tuple(reasons), tuple(comparisons), log_loss, better)


def choose(judgements: Sequence[Judgement]) -> Judgement | None:
    """Return the challenger to promote: the lowest log loss of those that may; a tie goes to the order given."""
    return min((j for j in judgements if j.verdict == "PROMOTE"), key=lambda j: j.log_loss, default=None)


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Return the decision of the date: the best verdict of any challenger."""
    verdicts = {j.verdict for j in judgements}
    return "PROMOTE" if "PROMOTE" in verdicts else "HOLD" if "HOLD" in verdicts else "REJECT"


def losses(y: NDArray[np.int_], p: Floats) -> Floats:
    """Return the log loss of each row."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(-np.where(y == 1, np.log(clipped), np.log1p(-clipped)))


def by_rule(found: Interval, margin: float) -> Verdict:
    """Apply the one rule: not worse than the margin with 95 % confidence, worse than it with 95 %, or cannot be told."""
    if found.low > -margin:
        return "PROMOTE"
    return "REJECT" if found.high < -margin else "HOLD"


def _quality(challenger: Challenger, holdout: Holdout, gate: Gate) -> list[str]:
    auc = challenger.metrics.get("roc_auc")
    if auc is None or np.isnan(auc):
        return ["ROC AUC is undefined: the holdout has one class only"]
    failed = []
    if auc < gate.floors.roc_auc:
        failed.append(f"ROC AUC {auc:.4f}, the floor is {gate.floors.roc_auc:.4f}")
    own = float(np.mean(losses(holdout.y, challenger.p)))
    constant = float(np.mean(losses(holdout.y, np.full(len(holdout.y), challenger.base_rate))))
    if not own < constant:
        failed.append(f"log loss {own:.4f}, the constant base rate {challenger.base_rate:.4f} of the window has {constant:.4f}")
    return failed


def _support(holdout: Holdout, gate: Gate) -> list[str]:
    """Return what the holdout lacks to say anything: that is no fault of a challenger, so it holds and does not reject."""
    needed = (
        ("rows", len(holdout.y), gate.floors.rows),
        ("days", holdout.days, gate.min_days),
        ("positives", int(holdout.y.sum()), gate.floors.positives),
    )
    return [f"the holdout has {found} {what}, at least {least} are needed" for what, found, least in needed if found < least]


def _against(
    challenger: Challenger, opponent: Opponent, holdout: Holdout, gate: Gate, seed: int, *, with_slices: bool
) -> list[Comparison]:
    if opponent.p is None:
        return [Comparison(opponent.role, opponent.version, "UNKNOWN", why=opponent.why)]
    everything = np.ones(len(holdout.y), dtype=bool)
    found = [_compare(challenger, opponent, opponent.p, holdout, gate, seed, everything, "")]
    for column, values in holdout.slices.items() if with_slices else ():
        for value in sorted({str(v) for v in values if v is not None}):
            chosen = np.asarray(values == value)
            label = f"{column}={value}"
            if int(chosen.sum()) < gate.slice_min_rows:
                why = f"{int(chosen.sum())} rows, at least {gate.slice_min_rows} are needed"
                found.append(Comparison(opponent.role, opponent.version, "UNKNOWN", None, None, label, int(chosen.sum()), why))
            else:
                found.append(_compare(challenger, opponent, opponent.p, holdout, gate, seed, chosen, label))
    return found


def _compare(
    challenger: Challenger,
    opponent: Opponent,
    theirs: Floats,
    holdout: Holdout,
    gate: Gate,
    seed: int,
    chosen: NDArray[np.bool_],
    label: str,
) -> Comparison:
    y, rows = holdout.y[chosen], int(chosen.sum())
    names, day = np.unique(holdout.day[chosen], return_inverse=True)
    days = len(names)
    counts = np.bincount(day, minlength=days).astype(np.float64)
    gain = losses(y, theirs[chosen]) - losses(y, challenger.p[chosen])
    log_loss = interval(mean_difference(np.bincount(day, weights=gain, minlength=days), counts), days, seed)
    verdict = by_rule(log_loss, gate.margin.log_loss)
    roc_auc: Interval | None = None
    positives = np.bincount(day[y == 1], minlength=days).astype(np.float64)
    if 0 < positives.sum() < rows:
        roc_auc = interval(_auc(y, challenger.p[chosen], theirs[chosen], day, positives, counts), days, seed)
        if by_rule(roc_auc, gate.margin.roc_auc) == "REJECT":
            verdict = "REJECT"
    return Comparison(opponent.role, opponent.version, verdict, log_loss, roc_auc, label, rows)


def _auc(y: NDArray[np.int_], ours: Floats, theirs: Floats, day: NDArray[np.int_], positives: Floats, counts: Floats) -> Statistic:
    days = len(counts)
    return auc_difference(ordered_pairs(y, ours, day, days) - ordered_pairs(y, theirs, day, days), positives, counts - positives)


def _reason(c: Comparison) -> str:
    where = f" on {c.slice}" if c.slice else ""
    if c.log_loss is None:
        return f"the {c.against} {c.version} cannot be judged{where}: {c.why}"
    text = f"against the {c.against} {c.version}{where}: log loss better by {_show(c.log_loss)}"
    if c.roc_auc is not None:
        text += f", ROC AUC by {_show(c.roc_auc)}"
    return text


def _show(found: Interval) -> str:
    return f"{found.mid:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def stored(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement in the form that a decision keeps, with every number."""
    return {
        "name": judgement.name,
        "version": judgement.version,
        "decision": judgement.verdict,
        "reasons": list(judgement.reasons),
        "comparisons": [
            {
                "against": c.against,
                "version": c.version,
                "slice": c.slice or None,
                "rows": c.rows,
                "decision": c.verdict,
                "log_loss": _numbers(c.log_loss),
                "roc_auc": _numbers(c.roc_auc),
                "why": c.why,
            }
            for c in judgement.comparisons
        ],
    }


def _numbers(found: Interval | None) -> list[float | None] | None:
    """Return [low, mid, high]; a bound that the data cannot give is null. Nine digits: the last bits are no information."""
    if found is None:
        return None
    return [round(value, 9) if np.isfinite(value) else None for value in (found.low, found.mid, found.high)]
