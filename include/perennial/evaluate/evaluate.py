"""Evaluate a date: judge its candidates, write the decision, and enter it into the decision log."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from perennial.calendar import DAY
from perennial.errors import LostRaceError, PerennialError
from perennial.evaluate.chain import Chain, Entry, anchor, enter, incumbent
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.evaluate.decision import Decided, decide, decision_fingerprint
from perennial.evaluate.force import read_force
from perennial.evaluate.recorded import Evaluated, find_recorded, find_trained, plan_trainings, reason_to_skip, result_of
from perennial.fingerprints.code import refuse_changed_code
from perennial.fingerprints.recipes import keep_recipes
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Skipped
from perennial.lake.tables import DATES_AT_ONCE, RowsReader
from perennial.signing.keys import read_keys
from perennial.signing.objects import key_to_sign, sign_object
from perennial.signing.subject import Kind
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json

log = logging.getLogger(__name__)

ATTEMPTS = 3


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

    Idempotent: an unchanged date keeps its decision, even a forced one. Changed inputs or another force decide again, and so
    does a decision without a signature: a run that ended before it signed is repaired, and a planted decision is replaced.
    A person who asks for the same force as another one before changes nothing: the decision keeps the first name.

    :param by: the person who asks for the force; a decision of the gate names no person
    """
    force = read_force(force_decision, force_reason)
    plans = plan_trainings(lake, day)
    if reason := reason_to_skip(plans):
        return Skipped(date=day, reason=reason)
    models = find_trained(plans)
    if missing := [plan.candidate for plan in plans if plan.candidate not in models]:
        raise PerennialError(
            f"Pipeline {lake.pipeline.name!r}, {day}: {', '.join(missing)} not trained on today's inputs. "
            f"Run train of {day} first."
        )
    for _ in range(ATTEMPTS):
        chain = read_chain(lake)
        key = decision_fingerprint(lake, day, chain, models)
        recorded = find_recorded(lake, chain.get(day), key, force)
        if recorded is not None:
            return result_of(Outcome.UNCHANGED, recorded, chain)
        # Nothing is recorded that this process cannot sign. One key signs both objects, even if a rotation replaces it meanwhile:
        # the signature of a decision shows that its model has one of the same key.
        signing = key_to_sign(read_keys())
        keep_recipes(lake, "evaluate", {"decision": key})
        # Read each object once, so that exactly the model that was judged is signed.
        seen = lake.objects.at_one_moment()
        decision = decide(replace(lake, objects=seen), day, chain, models, key, force, reader or RowsReader())
        body = canonical_json(_with_person(decision.body, by))
        refuse_changed_code()
        try:
            evaluated, uri = _record(lake, day, decision, body, key, run_id)
        except _IncumbentMovedError:
            continue
        # Signed only now: a signature says that the decision was recorded. Its own is the last, so that no part is missing then.
        if decision.decision == "PROMOTE" and decision.champion is not None:
            manifest = decision.champion.manifest
            sign_object(lake.objects, lake.layout, Kind.MODEL, manifest, seen.read_existing(manifest).body, signing)
        sign_object(lake.objects, lake.layout, Kind.DECISION, uri, body, signing)
        return evaluated
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


def _record(lake: Lake, day: date, decided: Decided, body: bytes, key: str, run_id: str) -> tuple[Evaluated, str]:
    """Store a decision and enter it into the decision log. Return the result, and the address of the decision."""
    uri = lake.layout.decision(day, sha256(body))
    lake.objects.create(uri, body)  # named by its content: an earlier writer wrote the same bytes
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
        was_recorded.append(recorded is not None and _is_same(recorded, entry))
        return chain if was_recorded[-1] else enter(chain, day, entry)

    chain = update_chain(lake, change)
    return result_of(Outcome.UNCHANGED if was_recorded[-1] else Outcome.DONE, json.loads(body), chain), uri


def _is_same(recorded: Entry, entry: Entry) -> bool:
    """Return whether two entries of a date hold the same decision, of any run and time."""
    facts = replace(entry, run_id=recorded.run_id, at=recorded.at, revision=recorded.revision, stale=recorded.stale)
    return facts == recorded


def _with_person(body: Json, by: str | None) -> Json:
    """Return a decision with the name of the person who forced it, if one did."""
    forced = body["forced"]
    return {**body, "forced": {**forced, "by": by}} if isinstance(forced, Mapping) else body
