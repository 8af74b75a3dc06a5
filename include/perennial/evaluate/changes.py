"""The causes why a decision is no longer current: in what the keys that it rests on differ from those of today. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from perennial.fingerprints.keys import Cause, causes
from perennial.train.plan import TrainingPlan

GATE = "the gate"
FEATURES = "the date"
_WORDS = {
    Cause.CODE: "code",
    Cause.DATA: "data",
    Cause.CONFIGURATION: "configuration",
    Cause.LIBRARIES: "libraries",
    Cause.DEPENDENCIES: "models",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One category of what decides a result, and what it decides: a candidate's training, or the gate's decision."""

    cause: Cause
    what: str


def changes_between(
    judged: Mapping[str, str | None], plans: Sequence[TrainingPlan], recorded: str, todays: str
) -> tuple[Change, ...]:
    """
    Return what has changed since a decision.

    :param judged: the keys of the trainings that were judged, by candidate
    :param plans: today's trainings
    :param recorded: the key of the decision
    :param todays: the key that it would have today
    """
    found = [Change(Cause.CONFIGURATION, f"candidate {name}") for name in sorted(judged.keys() ^ {p.candidate for p in plans})]
    for plan in plans:
        if plan.candidate in judged:
            found += [Change(cause, f"candidate {plan.candidate}") for cause in _between(judged[plan.candidate], plan)]
    # The gate's dependencies are the candidates' models, too: what changed these is told already.
    of_gate = [cause for cause in causes(recorded, todays) if not (found and cause is Cause.DEPENDENCIES)]
    return (*found, *(Change(cause, GATE) for cause in of_gate))


def _between(judged: str | None, plan: TrainingPlan) -> Iterator[Cause]:
    """Yield in what a training differs from the one that was judged; a model that is missing is a dependency of the gate."""
    if plan.key != judged:
        yield from causes(judged or "", plan.key or "")
    elif not plan.unchanged:
        yield Cause.DEPENDENCIES


def describe(changes: Sequence[Change]) -> str:
    """Return changes as a part of a sentence: 'data of candidate mlp, code of candidate mlp and the gate'."""
    by_cause = {cause: [change.what for change in changes if change.cause is cause] for cause in Cause}
    return ", ".join(f"{_WORDS[cause]} of {' and '.join(what)}" for cause, what in by_cause.items() if what)
