"""Forced decisions, which a person makes instead of the gate, and the decision of a date. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from perennial.display.metrics import format_metric, label_of
from perennial.errors import RefusedError
from perennial.evaluate.comparison import Verdict
from perennial.evaluate.gate import Judgement, choose, overall

VERDICTS: tuple[Verdict, ...] = ("PROMOTE", "HOLD", "REJECT")
REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Force:
    """A decision that a person makes instead of the gate, with the reason. The decision log names the run that made it."""

    decision: Verdict
    reason: str


def read_force(decision: str | None, reason: str | None) -> Force | None:
    """Read the run's params, and refuse a forced decision without a reason."""
    if decision is None:
        return None
    if decision not in VERDICTS:
        raise RefusedError(f"force_decision is {decision!r}", remedy=f"Set it to one of {', '.join(VERDICTS)}, or leave it out.")
    if not reason or not reason.strip() or len(reason) > REASON_LENGTH:
        raise RefusedError(f"force_decision {decision} needs force_reason: the reason, in 1 to {REASON_LENGTH} characters")
    return Force(decision, reason.strip())


def reject_barred(judgements: Sequence[Judgement], barred: Collection[str]) -> list[Judgement]:
    """Return the judgements, with every barred version rejected regardless of its verdict."""
    return [
        replace(j, verdict="REJECT", reasons=("the version is barred", *j.reasons)) if j.version in barred else j
        for j in judgements
    ]


def settle(
    judgements: Sequence[Judgement], force: Force | None, barred: Collection[str] = ()
) -> tuple[Verdict, Judgement | None, list[str]]:
    """
    Return the decision of the date, the challenger to promote (None: the incumbent stays), and the reasons.

    :param judgements: the judgements, with barred versions already rejected by `reject_barred`
    :param barred: the versions that a force may not promote either
    """
    verdict, winner = overall(judgements), choose(judgements)
    reasons = [f"{j.name}: {reason}" for j in judgements for reason in j.reasons]
    if winner is not None and sum(j.verdict == "PROMOTE" for j in judgements) > 1:
        loss = label_of(winner.metric)
        reasons.append(
            f"{winner.name} has the lowest {loss} of the candidates that may be promoted: {format_metric(winner.loss)}"
        )
    if force is None:
        return verdict, winner, reasons
    reasons.insert(0, f"forced to {force.decision}: {force.reason} (the gate says {verdict})")
    if force.decision != "PROMOTE":
        return force.decision, None, reasons
    allowed = [j for j in judgements if j.version not in barred]
    if not allowed:
        raise RefusedError(
            f"force_decision PROMOTE: {', '.join(j.version for j in judgements)} are barred, and no other version was trained",
            remedy="Change the inputs of the training (the SQL, the YAML, a repaired drop) to train another version.",
        )
    return "PROMOTE", winner or min(allowed, key=lambda j: j.loss), reasons
