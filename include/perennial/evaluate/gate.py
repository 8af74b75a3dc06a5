"""
The promotion gate: decide whether a challenger may replace the incumbent. Pure: predictions in, verdicts out, with every number.

docs/adr/0006-the-promotion-gate.md explains each rule and the reason for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perennial.config.pipeline import Gate
from perennial.evaluate.comparison import Comparison, Opponent, Verdict, compare
from perennial.evaluate.judged import Holdout
from perennial.models.metrics import Floats, log_loss
from perennial.store.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class Challenger:
    """One candidate: its probabilities on the holdout rows, in order, its metrics, and the share of positives in its window."""

    name: str
    version: str
    p: Floats
    metrics: Mapping[str, float | None]
    base_rate: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of the gate on one challenger. `is_better`: it is strictly better than every opponent, so a new anchor."""

    name: str
    version: str
    verdict: Verdict
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    log_loss: float
    is_better: bool


def judge(challenger: Challenger, opponents: Sequence[Opponent], holdout: Holdout, gate: Gate, seed: int) -> Judgement:
    """Judge one challenger: check the size of the holdout and the floors, then compare with incumbent, slices and anchor."""
    unsupported, failed = _check_support(holdout, gate), _check_floors(challenger, holdout, gate)
    comparisons = [item for opponent in opponents for item in compare(challenger.p, opponent, holdout, gate, seed)]
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
            f"the incumbent {aged[0].version} is {aged[0].age_days} days old, "
            f"more than the allowed {gate.max_age_days}: it is replaced"
        )
    elif undecided:
        verdict = "HOLD"
    elif opponents:
        reasons.extend(c.reason(gate.margin) for c in comparisons if not c.slice)
    else:
        reasons.append("no incumbent: only the floors decide")
    judged = [c.log_loss for c in comparisons if not c.slice and c.log_loss is not None]
    return Judgement(
        challenger.name,
        challenger.version,
        verdict,
        tuple(reasons),
        tuple(comparisons),
        log_loss=log_loss(holdout.y, challenger.p),
        is_better=all(delta.low > 0 for delta in judged),
    )


def choose(judgements: Sequence[Judgement]) -> Judgement | None:
    """Return the promotable challenger with the lowest log loss; the first one wins a tie."""
    return min((j for j in judgements if j.verdict == "PROMOTE"), key=lambda j: j.log_loss, default=None)


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Return the decision of the date: the best verdict of any challenger."""
    verdicts = {j.verdict for j in judgements}
    return "PROMOTE" if "PROMOTE" in verdicts else "HOLD" if "HOLD" in verdicts else "REJECT"


def stored(judgement: Judgement) -> dict[str, JsonValue]:
    """Return a judgement in the form that a decision stores, with every number."""
    return {
        "name": judgement.name,
        "version": judgement.version,
        "decision": judgement.verdict,
        "reasons": list(judgement.reasons),
        "comparisons": [c.stored() for c in judgement.comparisons],
    }


def _check_support(holdout: Holdout, gate: Gate) -> list[str]:
    """Return what the holdout lacks for a verdict. That is not the challenger's fault, so it means HOLD, not REJECT."""
    needed = (
        ("rows", len(holdout.y), gate.floors.rows),
        ("days", len(holdout.rows), gate.min_days),
        ("positives", int(holdout.y.sum()), gate.floors.positives),
        ("negatives", int((holdout.y == 0).sum()), 1),
    )
    return [f"the holdout has {count} {what}, at least {least} are needed" for what, count, least in needed if count < least]


def _check_floors(challenger: Challenger, holdout: Holdout, gate: Gate) -> list[str]:
    auc = challenger.metrics.get("roc_auc")
    if auc is None or np.isnan(auc):
        return ["ROC AUC is undefined: the holdout has only one class"]
    failed = []
    if auc < gate.floors.roc_auc:
        failed.append(f"ROC AUC {auc:.4f}, the floor is {gate.floors.roc_auc:.4f}")
    loss = log_loss(holdout.y, challenger.p)
    constant = log_loss(holdout.y, np.broadcast_to(challenger.base_rate, len(holdout.y)))
    if not loss < constant:
        failed.append(
            f"log loss {loss:.4f}, not below the {constant:.4f} "
            f"of the constant base rate {challenger.base_rate:.4f} of the window"
        )
    return failed
