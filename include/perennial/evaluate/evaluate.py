"""Evaluate a date: judge its candidates, write the decision, and enter it into the decision log."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import ClassVar

from perennial.calendar import DAY
from perennial.errors import LostRaceError, PerennialError
from perennial.evaluate.chain import Chain, Entry, Intervention, anchor, enter, incumbent
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.evaluate.champions import champion_of
from perennial.evaluate.changes import FEATURES, changes_between
from perennial.evaluate.comparison import Verdict
from perennial.evaluate.decision import Decided, StoredCandidate, StoredDecision, decide, decision_fingerprint
from perennial.evaluate.force import Force, read_force
from perennial.fingerprints.fingerprint import Category, StaleCause
from perennial.fingerprints.recipes import keep_recipes
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result, Skipped
from perennial.lake.tables import DATES_AT_ONCE, RowsReader
from perennial.signing.objects import sign_object
from perennial.signing.subject import Kind
from perennial.store.json_value import Json, JsonValue
from perennial.store.objects import canonical_json, sha256
from perennial.train.plan import TrainingPlan, plan_training

log = logging.getLogger(__name__)

ATTEMPTS = 3


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


class _IncumbentMovedError(PerennialError):
    """An earlier date changed the incumbent or the anchor while this date was being judged."""


def evaluate(
    lake: Lake,
    day: date,
    *,
    run_id: str,
    force_decision: str | None = None,
    force_reason: str | None = None,
    by: str | None = None,
    reader: RowsReader | None = None,
) -> Evaluated | Skipped:
    """
    Judge the candidates of `day` and return the decision with every number.

    Idempotent: an unchanged date keeps its decision, even a forced one. Changed inputs or another force decide again.
    A person who asks for the same force as another one before changes nothing: the decision keeps the first name.

    :param by: the person who asks for the force; a decision of the gate names no person
    """
    force = read_force(force_decision, force_reason)
    plans = _plan_trainings(lake, day)
    if reason := _reason_to_skip(plans):
        return Skipped(date=day, reason=reason)
    models = _find_trained(plans)
    if missing := [plan.candidate for plan in plans if plan.candidate not in models]:
        raise PerennialError(
            f"Pipeline {lake.pipeline.name!r}, {day}: {', '.join(missing)} not trained on today's inputs. "
            f"Run train of {day} first."
        )
    for _ in range(ATTEMPTS):
        chain = read_chain(lake)
        key = decision_fingerprint(lake, day, chain, models)
        recorded = _find_recorded(lake, chain.get(day), key, force)
        if recorded is not None:
            return _result(Outcome.UNCHANGED, recorded, chain)
        keep_recipes(lake, "evaluate", {"decision": key})
        # Read each object once, so that exactly the model that was judged is signed.
        seen = lake.objects.at_one_moment()
        decision = decide(replace(lake, objects=seen), day, chain, models, key, force, reader or RowsReader())
        if decision.champion is not None and decision.champion.manifest in models.values():
            uri = decision.champion.manifest
            sign_object(lake.objects, lake.layout, Kind.MODEL, uri, seen.read_existing(uri).body)
        try:
            return _publish(lake, day, decision, key, run_id, by)
        except _IncumbentMovedError:
            continue
    raise LostRaceError(
        f"Pipeline {lake.pipeline.name!r}, {day}: earlier dates changed the incumbent {ATTEMPTS} times during the evaluation. "
        "Run it again when they are done."
    )


def evaluate_ahead(lake: Lake, day: date, until: date, *, run_id: str) -> None:
    """
    Judge the dates after `day` up to `until`, in order, each against the champion of the dates before it.

    Stop at the first date that cannot be judged. The dates after it are judged in their own runs.
    """
    # Read the tables once for all dates, but see decisions of other runs immediately.
    lake, reader = replace(lake, tables=lake.tables.at_one_moment()), RowsReader(DATES_AT_ONCE)
    for later in lake.pipeline.calendar.dates(day + DAY, until):
        try:
            result = evaluate(lake, later, run_id=run_id, reader=reader)
        except PerennialError as error:
            log.warning("Stopped judging ahead at %s; its own run will report the error: %s", later, error)
            return
        log.info("%s: %s", later, result.reason if isinstance(result, Skipped) else result.decision)


def is_current(lake: Lake, day: date) -> bool:
    """Return whether the recorded decision of `day` used the present inputs, or the date has none and cannot be trained."""
    try:
        plans = _plan_trainings(lake, day)
    except PerennialError as error:
        log.info("The training of %s cannot be planned yet: %s", day, error)
        return False
    chain = read_chain(lake)
    entry = chain.get(day)
    if _reason_to_skip(plans):
        return entry is None
    models = _find_trained(plans)
    return len(models) == len(plans) and entry is not None and entry.key == decision_fingerprint(lake, day, chain, models)


def changes_since(lake: Lake, day: date) -> tuple[StaleCause, ...]:
    """Return how the inputs of the recorded decision of `day` differ from today's, by category of cause."""
    try:
        plans = _plan_trainings(lake, day)
    except PerennialError:
        return (StaleCause(Category.DATA, FEATURES),)
    chain = read_chain(lake)
    if (entry := chain.get(day)) is None:
        return ()
    candidates = lake.objects.read_existing(entry.uri).json()["candidates"]
    judged = {candidate["name"]: candidate.get("training") for candidate in candidates}
    models = {plan.candidate: plan.manifest_uri for plan in plans if plan.manifest_uri}
    return changes_between(judged, plans, entry.key, decision_fingerprint(lake, day, chain, models))


def _plan_trainings(lake: Lake, day: date) -> list[TrainingPlan]:
    return [plan_training(lake, day, name) for name in lake.pipeline.training.candidates]


def _reason_to_skip(plans: Sequence[TrainingPlan]) -> str | None:
    return next((plan.skipped for plan in plans if plan.skipped), None)


def _find_trained(plans: Sequence[TrainingPlan]) -> dict[str, str]:
    """Return the manifests of the candidates that are trained on the present inputs, in the order of the YAML."""
    return {plan.candidate: plan.manifest_uri for plan in plans if plan.manifest_uri and plan.unchanged}


def _find_recorded(lake: Lake, entry: Entry | None, key: str, force: Force | None) -> StoredDecision | None:
    """Return the recorded decision if it has the same inputs and, if a force is requested, the same force."""
    if entry is None or entry.key != key:
        return None
    body: StoredDecision = lake.objects.read_existing(entry.uri).json()
    forced = body["forced"] or {}
    if force is not None and (forced.get("decision"), forced.get("reason")) != (force.decision, force.reason):
        return None
    return body


def _publish(lake: Lake, day: date, decided: Decided, key: str, run_id: str, by: str | None) -> Evaluated:
    body = canonical_json(_with_person(decided.body, by))
    uri = lake.layout.decision(day, sha256(body))
    lake.objects.create(uri, body)  # named by its content: an earlier writer wrote the same bytes
    sign_object(lake.objects, lake.layout, Kind.DECISION, uri, body)
    entry = Entry(
        decision=decided.decision,
        uri=uri,
        key=key,
        champion=decided.champion,
        incumbent=decided.incumbent,
        anchor=decided.anchor,
        sets_anchor=decided.sets_anchor,
        run_id=run_id,
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
    )
    was_recorded: list[bool] = []

    def change(chain: Chain) -> Chain:
        """Enter the decision, unless another run entered the same one. Raise if the incumbent or the anchor has changed."""
        current, base = incumbent(chain, day), anchor(chain, day)
        if (current.version if current else None, base.version if base else None) != (decided.incumbent, decided.anchor):
            raise _IncumbentMovedError(str(day))
        recorded = chain.get(day)
        was_recorded.append(recorded is not None and recorded.uri == uri)
        return chain if was_recorded[-1] else enter(chain, day, entry)

    chain = update_chain(lake, change)
    return _result(Outcome.UNCHANGED if was_recorded[-1] else Outcome.DONE, json.loads(body), chain)


def _with_person(body: Json, by: str | None) -> Json:
    """Return a decision with the name of the person who forced it, if one did."""
    forced = body["forced"]
    return {**body, "forced": {**forced, "by": by}} if isinstance(forced, Mapping) else body


def _result(outcome: Outcome, body: StoredDecision, chain: Chain) -> Evaluated:
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
