"""
The promotion gate: may a challenger replace the incumbent? Pure: predictions in, verdicts with every number out.

docs/adr/0006-the-promotion-gate.md says what each rule means and why it is as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perennial.config.pipeline import Gate
from perennial.evaluate.bootstrap import Floats
from perennial.evaluate.comparison import Comparison, Holdout, Opponent, Verdict, compare, losses
from perennial.store.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class Challenger:
    """One candidate: its probabilities on the holdout rows, in their order, its metrics, and its window's share of positives."""

    name: str
    version: str
    p: Floats
    metrics: Mapping[str, float | None]
    base_rate: float


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
    """Judge one challenger: what the holdout can carry, the floors, then incumbent and anchor, and the incumbent's slices."""
    unsupported, failed = _support(holdout, gate), _floors(challenger, holdout, gate)
    comparisons = [found for opponent in opponents for found in compare(challenger.p, opponent, holdout, gate, seed)]
    rejected = [c for c in comparisons if c.verdict == "REJECT"]
    undecided = [c for c in comparisons if c.verdict in {"HOLD", "UNKNOWN"} and not c.slice]
    aged = [o for o in opponents if o.role == "incumbent" and o.age_days > gate.max_age_days]
    reasons = [*unsupported, *failed, *(c.reason(gate.margin) for c in (*rejected, *undecided))]
    verdict: Verdict = "PROMOTE"
    if unsupported:
        verdict = "HOLD"
    elif failed or rejected:
        verdict = "REJECT"
    elif undecided and aged:
        reasons.append(
            f"the incumbent {aged[0].version} is {aged[0].age_days} days old, at most {gate.max_age_days}: it gives way"
        )
    elif undecided:
        verdict = "HOLD"
    elif opponents:
        reasons.extend(c.reason(gate.margin) for c in comparisons if not c.slice)
    else:
        reasons.append("no incumbent: the floors alone decide")
    judged = [c.log_loss for c in comparisons if not c.slice and c.log_loss is not None]
    return Judgement(
        challenger.name,
        challenger.version,
        verdict,
        tuple(reasons),
        tuple(comparisons),
        log_loss=_mean(losses(holdout.y, challenger.p)),
        is_better=all(found.low > 0 for found in judged),
    )


def choose(judgements: Sequence[Judgement]) -> Judgement | None:
    """Return the challenger to promote: the lowest log loss of those that may; a tie goes to the order given."""
    return min((j for j in judgements if j.verdict == "PROMOTE"), key=lambda j: j.log_loss, default=None)


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Return the decision of the date: the best verdict of any challenger."""
    verdicts = {j.verdict for j in judgements}
    return "PROMOTE" if "PROMOTE" in verdicts else "HOLD" if "HOLD" in verdicts else "REJECT"


def stored(judgement: Judgement) -> dict[str, JsonValue]:
    """Return a judgement in the form that a decision keeps, with every number."""
    return {
        "name": judgement.name,
        "version": judgement.version,
        "decision": judgement.verdict,
        "reasons": list(judgement.reasons),
        "comparisons": [c.stored() for c in judgement.comparisons],
    }


def _support(holdout: Holdout, gate: Gate) -> list[str]:
    """Return what the holdout lacks to say anything: that is no fault of a challenger, so it holds and does not reject."""
    needed = (
        ("rows", len(holdout.y), gate.floors.rows),
        ("days", holdout.days, gate.min_days),
        ("positives", int(holdout.y.sum()), gate.floors.positives),
        ("negatives", int((holdout.y == 0).sum()), 1),
    )
    return [f"the holdout has {found} {what}, at least {least} are needed" for what, found, least in needed if found < least]


def _floors(challenger: Challenger, holdout: Holdout, gate: Gate) -> list[str]:
    auc = challenger.metrics.get("roc_auc")
    if auc is None or np.isnan(auc):
        return ["ROC AUC is undefined: the holdout has one class only"]
    failed = []
    if auc < gate.floors.roc_auc:
        failed.append(f"ROC AUC {auc:.4f}, the floor is {gate.floors.roc_auc:.4f}")
    own = _mean(losses(holdout.y, challenger.p))
    constant = _mean(losses(holdout.y, np.full(len(holdout.y), challenger.base_rate)))
    if not own < constant:
        failed.append(f"log loss {own:.4f}, the constant base rate {challenger.base_rate:.4f} of the window has {constant:.4f}")
    return failed


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else float("inf")
