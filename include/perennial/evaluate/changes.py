"""Explain why a decision is stale: compare the fingerprints of its inputs with those of today. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from perennial.fingerprints.fingerprint import Category, StaleCause, causes
from perennial.train.plan import TrainingPlan

GATE = "the gate"
FEATURES = "the date"
_WORDS = {
    Category.CODE: "code",
    Category.DATA: "data",
    Category.CONFIGURATION: "configuration",
    Category.LIBRARIES: "libraries",
    Category.DEPENDENCIES: "models",
}


def changes_between(
    judged: Mapping[str, str | None], plans: Sequence[TrainingPlan], recorded: str, todays: str
) -> tuple[StaleCause, ...]:
    """
    Return the changes since a decision.

    :param judged: the fingerprints of the trainings that were judged, by candidate
    :param plans: today's trainings
    :param recorded: the fingerprint of the decision
    :param todays: the fingerprint that the decision would have today
    """
    changes = [
        StaleCause(Category.CONFIGURATION, f"candidate {name}") for name in sorted(judged.keys() ^ {p.candidate for p in plans})
    ]
    for plan in plans:
        if plan.candidate in judged:
            changes += [
                StaleCause(cause, f"candidate {plan.candidate}") for cause in _compare_training(judged[plan.candidate], plan)
            ]
    # The candidates' models are also dependencies of the gate. Do not report their changes twice.
    of_gate = [cause for cause in causes(recorded, todays) if not (changes and cause is Category.DEPENDENCIES)]
    return (*changes, *(StaleCause(cause, GATE) for cause in of_gate))


def _compare_training(judged: str | None, plan: TrainingPlan) -> Iterator[Category]:
    """Yield the categories in which a training differs from the judged one. A missing model is a dependency of the gate."""
    if plan.key != judged:
        yield from causes(judged or "", plan.key or "")
    elif not plan.unchanged:
        yield Category.DEPENDENCIES


def describe(changes: Sequence[StaleCause]) -> str:
    """Describe changes as part of a sentence: 'data of candidate mlp, code of candidate mlp and the gate'."""
    things = {category: [change.what for change in changes if change.category is category] for category in Category}
    return ", ".join(f"{_WORDS[category]} of {' and '.join(what)}" for category, what in things.items() if what)
