"""The recorded decision of a date, and whether it was made with the present inputs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from perennial.errors import PerennialError
from perennial.evaluate.chain import Chain, Entry, Intervention
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import champion_of
from perennial.evaluate.changes import FEATURES, changes_between
from perennial.evaluate.comparison import Verdict
from perennial.evaluate.decision import StoredCandidate, StoredDecision, decision_fingerprint
from perennial.evaluate.force import Force
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result, Skipped
from perennial.signing.objects import is_signed, seems_signed
from perennial.signing.subject import Kind
from perennial.store.json_value import Json, JsonValue
from perennial.train.plan import TrainingPlan, plan_training

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluated(Result):
    """
    The decision of a date, without the parts that only a report needs, and the champion that results now.

    :param forced: the decision that a person made instead of the gate, with the reason and, in `by`, the person
    :param incumbent: the version that the candidates were judged against
    :param champion: the present champion; `why` explains it in one sentence (see `Champion`)
    :param barred: the interventions that bar versions named champion by later decisions (see `Champion.passed_over`)
    :param candidates: the verdict, reasons and metrics of each candidate
    """

    SHOWN: ClassVar[frozenset[str]] = frozenset({"decision", "champion", "note"})

    date: date
    decision: Verdict
    reasons: list[str]
    forced: Json | None
    incumbent: str | None
    champion: str | None
    why: str
    note: str
    barred: tuple[Intervention, ...]
    candidates: list[StoredCandidate]

    def details(self) -> dict[str, JsonValue]:
        """Return the values to print; a decision that promotes nothing comes with its first reason."""
        why = {"reason": self.reasons[0]} if self.reasons and self.decision != "PROMOTE" else {}
        return {**Result.details(self), **why}

    def values_of(self, metric: str) -> dict[str, float]:
        """Return a metric by candidate, of those that have it."""
        found = {candidate["name"]: dict(candidate).get(metric) for candidate in self.candidates}
        return {name: value for name, value in found.items() if isinstance(value, float)}


def is_current(lake: Lake, day: date) -> bool:
    """
    Return whether an evaluation of `day` would keep its decision, or the date has none and cannot be trained.

    A signature is not verified if there is one: an evaluation does that.
    """
    found = _find_present(lake, day)
    if found is None or isinstance(found, Skipped):
        return found is not None
    if found.entry.key != found.key:
        return False
    if seems_signed(lake.objects, lake.layout, Kind.DECISION, found.entry.uri):
        return True
    return find_recorded(lake, found.entry, found.key, None) is not None


def find_decision(lake: Lake, day: date) -> Evaluated | Skipped | None:
    """Return the decision of `day`, or why it has none; None: an evaluation would decide again."""
    found = _find_present(lake, day)
    if found is None or isinstance(found, Skipped):
        return found
    recorded = find_recorded(lake, found.entry, found.key, None)
    return None if recorded is None else result_of(Outcome.UNCHANGED, recorded, found.chain)


@dataclass(frozen=True, slots=True)
class _Present:
    """A date whose candidates are all trained on the present inputs: its entry in the log, and the key of a decision now."""

    chain: Chain
    entry: Entry
    key: str


def _find_present(lake: Lake, day: date) -> _Present | Skipped | None:
    """Return what is recorded of `day` and what would be now, or why it has no decision; None: it has to be evaluated."""
    try:
        plans = plan_trainings(lake, day)
    except PerennialError as error:
        log.info("The training of %s cannot be planned yet: %s", day, error)
        return None
    chain = read_chain(lake)
    entry = chain.get(day)
    if reason := reason_to_skip(plans):
        return Skipped(date=day, reason=reason) if entry is None else None
    models = find_trained(plans)
    if len(models) < len(plans) or entry is None:
        return None
    return _Present(chain, entry, decision_fingerprint(lake, day, chain, models))


def changes_since(lake: Lake, day: date) -> tuple[StaleCause, ...]:
    """Return how the inputs of the recorded decision of `day` differ from today's, by category of cause."""
    try:
        plans = plan_trainings(lake, day)
    except PerennialError:
        return (StaleCause(Category.DATA, FEATURES),)
    chain = read_chain(lake)
    if (entry := chain.get(day)) is None:
        return ()
    candidates = lake.objects.read_existing(entry.uri).json()["candidates"]
    judged = {candidate["name"]: candidate.get("training") for candidate in candidates}
    models = {plan.candidate: plan.manifest_uri for plan in plans if plan.manifest_uri}
    return changes_between(judged, plans, entry.key, decision_fingerprint(lake, day, chain, models))


def plan_trainings(lake: Lake, day: date) -> list[TrainingPlan]:
    """Plan the training of each candidate of a date."""
    return [plan_training(lake, day, name) for name in lake.pipeline.training.candidates]


def reason_to_skip(plans: Sequence[TrainingPlan]) -> str | None:
    """Return why a date cannot be trained, or None."""
    return next((plan.skipped for plan in plans if plan.skipped), None)


def find_trained(plans: Sequence[TrainingPlan]) -> dict[str, str]:
    """Return the manifests of the candidates that are trained on the present inputs, in the order of the YAML."""
    return {plan.candidate: plan.manifest_uri for plan in plans if plan.manifest_uri and plan.unchanged}


def find_recorded(lake: Lake, entry: Entry | None, key: str, force: Force | None) -> StoredDecision | None:
    """
    Return the recorded decision of a date, or None if it has to be decided again.

    That is so if its inputs have changed, if another force is requested, if the decision is not signed, or if the log describes
    another one. A forced decision without a signature is kept, because only a person can repeat it: no deploy accepts it.
    """
    if entry is None or entry.key != key:
        return None
    stored = lake.objects.read_existing(entry.uri)
    document = stored.json()
    body: StoredDecision = document
    forced = body["forced"] or {}
    if force is not None and (forced.get("decision"), forced.get("reason")) != (force.decision, force.reason):
        return None
    if forced and force is None:
        return body
    is_entered = document["champion"] == (entry.champion.version if entry.champion else None)
    return body if is_entered and is_signed(lake.objects, lake.layout, Kind.DECISION, entry.uri, stored.body) else None


def result_of(outcome: Outcome, body: StoredDecision, chain: Chain) -> Evaluated:
    """Return a decision as the result of a stage, with the champion that follows from the decision log now."""
    champion = champion_of(chain, date.fromisoformat(body["date"]))
    return Evaluated(
        outcome,
        date=champion.day,
        decision=body["decision"],
        reasons=body["reasons"],
        forced=body["forced"],
        incumbent=body["incumbent"],
        champion=champion.version,
        why=champion.why,
        note=champion.note,
        barred=champion.passed_over,
        candidates=[_without_comparisons(candidate) for candidate in body["candidates"]],
    )


def _without_comparisons(candidate: StoredCandidate) -> StoredCandidate:
    short = candidate.copy()
    short.pop("comparisons", None)
    return short
