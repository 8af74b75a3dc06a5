"""
The promotion gate: decide whether a challenger may replace the incumbent. Pure: predictions in, verdicts out, with every number.

docs/adr/0006-the-promotion-gate.md explains each rule and the reason for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perennial.config.pipeline import Gate
from perennial.evaluate.comparison import Challenger, Comparison, Opponent, Verdict, compare
from perennial.evaluate.judged import Holdout
from perennial.models.sums import mean
from perennial.store.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of the gate on one challenger. `is_better`: it is strictly better than every opponent, so a new anchor."""

    name: str
    version: str
    verdict: Verdict
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    metric: str
    loss: float
    is_better: bool


def judge(challenger: Challenger, opponents: Sequence[Opponent], holdout: Holdout, gate: Gate, seed: int) -> Judgement:
    """Judge one challenger: check the size of the holdout and the floors, then compare with incumbent, slices and anchor."""
    task, y, p = holdout.task, holdout.y, challenger.p
    unsupported = [*_check_support(holdout, gate), *task.unsupported(y, challenger.constant)]
    failed = task.failed_floors(y, p, challenger.metrics, challenger.constant, gate)
    comparisons = [item for opponent in opponents for item in compare(challenger, opponent, holdout, gate, seed)]
    rejected = [c for c in comparisons if c.verdict == "REJECT"]
    undecided = [c for c in comparisons if c.verdict in {"HOLD", "UNKNOWN"} and not c.slice]
    aged = [o for o in opponents if o.role == "incumbent" and o.age_days > gate.max_age_days]
    margins = task.margin(gate), gate.margin.roc_auc
    reasons = [*unsupported, *failed, *(c.reason(*margins) for c in (*rejected, *undecided))]
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
        reasons.extend(c.reason(*margins) for c in comparisons if not c.slice)
    else:
        reasons.append("no incumbent: only the floors decide")
    judged = [c.loss for c in comparisons if not c.slice and c.loss is not None]
    return Judgement(
        challenger.name,
        challenger.version,
        verdict,
        tuple(reasons),
        tuple(comparisons),
        metric=task.loss_name,
        loss=mean(lambda part: task.losses(y[part], p[part]), len(y)),
        is_better=all(delta.low > 0 for delta in judged),
    )


def choose(judgements: Sequence[Judgement]) -> Judgement | None:
    """Return the promotable challenger with the lowest loss; the first one wins a tie."""
    return min((j for j in judgements if j.verdict == "PROMOTE"), key=lambda j: j.loss, default=None)


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
        *holdout.task.lacking(holdout.y, gate),
    )
    return [f"the holdout has {count} {what}, at least {least} are needed" for what, count, least in needed if count < least]
