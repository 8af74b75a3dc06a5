"""The causes why a decision is no longer current: in what the keys that it rests on differ from those of today. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from perennial.fingerprints.keys import Category, StaleCause, causes
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
    Return what has changed since a decision.

    :param judged: the keys of the trainings that were judged, by candidate
    :param plans: today's trainings
    :param recorded: the key of the decision
    :param todays: the key that it would have today
    """
    found = [
        StaleCause(Category.CONFIGURATION, f"candidate {name}") for name in sorted(judged.keys() ^ {p.candidate for p in plans})
    ]
    for plan in plans:
        if plan.candidate in judged:
            found += [StaleCause(cause, f"candidate {plan.candidate}") for cause in _between(judged[plan.candidate], plan)]
    # The gate's dependencies are the candidates' models, too: what changed these is told already.
    of_gate = [cause for cause in causes(recorded, todays) if not (found and cause is Category.DEPENDENCIES)]
    return (*found, *(StaleCause(cause, GATE) for cause in of_gate))


def _between(judged: str | None, plan: TrainingPlan) -> Iterator[Category]:
    """Yield in what a training differs from the one that was judged; a model that is missing is a dependency of the gate."""
    if plan.key != judged:
        yield from causes(judged or "", plan.key or "")
    elif not plan.unchanged:
        yield Category.DEPENDENCIES


def describe(changes: Sequence[StaleCause]) -> str:
    """Return changes as a part of a sentence: 'data of candidate mlp, code of candidate mlp and the gate'."""
    things = {category: [change.what for change in changes if change.category is category] for category in Category}
    return ", ".join(f"{_WORDS[category]} of {' and '.join(what)}" for category, what in things.items() if what)
