"""Deploy a date: release its champion with the newest lookups after a serve-check, and fall back if the release fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar

from perennial.deploy.active import read_active
from perennial.deploy.memory import check_memory
from perennial.deploy.newest import Later, later_drops
from perennial.deploy.protocol import Steps, SupersededError, bring_live
from perennial.deploy.release import ReleasePlan, build_release, plan_release, read_release
from perennial.deploy.serve_check import Numbers
from perennial.deploy.standing import to_release
from perennial.errors import PerennialError, ReleaseFailedError, ReleaseUnprovenError
from perennial.evaluate.chain import DEPLOY, Chain, Intervention, Model, intervene
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.evaluate.champions import champion_of
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result
from perennial.runtime.base import Runtime

log = logging.getLogger(__name__)

REASON_LENGTH = 2000
SEE = "See docs/runbooks/release-failed.md."


@dataclass(frozen=True, slots=True)
class Deployed(Result):
    """
    The release of a date, and the measurements of its deployment.

    :param reason: the reason for skipping the deploy
    :param released: the release; None: the deploy was skipped
    :param as_of: the midnight of its lookups
    :param note: what is unusual about releasing this version on this date
    """

    WHERE_KNOWN: ClassVar[frozenset[str]] = frozenset({"serve_check", "switch_seconds", "soak"})
    SHOWN: ClassVar[frozenset[str]] = frozenset({"reason", "released", "version", "note"})

    date: date
    reason: str = ""
    released: str | None = None
    version: str | None = None
    as_of: str | None = None
    note: str = ""
    serve_check: Numbers | None = None
    switch_seconds: float | None = None
    soak: Numbers | None = None


def deploy(lake: Lake, day: date, runtime: Runtime) -> Deployed:
    """
    Release champion(D) with the lookups of as_of(D), if D is the newest date. This includes dates with HOLD and REJECT.

    Idempotent: the next deploy finishes one that was killed. A failed release is recorded in the decision log, and its version is
    barred unless the same version served before. The champion that remains is then released instead.

    :raises ReleaseFailedError: the release failed; the error reports the cause and what serves now
    :raises ReleaseUnprovenError: the release could not be judged; nothing is recorded, and a rerun tries again
    :raises RefusedError: the release takes more memory than its servers may give it; nothing is recorded
    :raises EndpointMissingError: the release is active, but no server follows the pointer
    """
    chain, active = read_chain(lake), read_active(lake)
    later = later_drops(lake, chain, day)
    model, reason = to_release(chain, active, later, day)
    if model is None:
        return Deployed(Outcome.SKIPPED, day, reason=reason)
    plan = plan_release(lake, chain, day, model)
    note = _note(chain, later, day)
    if active.release == plan.id and active.soaked and runtime.follows(plan.id):
        return _result(lake, Outcome.UNCHANGED, plan, note, Steps())
    try:
        return _result(lake, Outcome.DONE, plan, note, _release(lake, runtime, plan))
    except SupersededError as error:
        return Deployed(Outcome.SKIPPED, day, reason=str(error), version=plan.model.version, note=note)
    except ReleaseUnprovenError as error:
        raise type(error)(error.what, [*error.problems, "nothing is barred"], error.remedy or SEE) from error
    except ReleaseFailedError as error:
        raise _fall_back(lake, runtime, plan, active.good, error) from error


def is_current(lake: Lake, day: date, runtime: Runtime) -> bool:
    """Return whether a deploy of `day` would change nothing: its release serves, or it would be skipped. Reads no rows."""
    chain = read_chain(lake)
    model, _ = _to_release(lake, chain, day)
    if model is None:
        return True
    try:
        planned = plan_release(lake, chain, day, model).id
    except PerennialError as error:
        log.info("The release of %s cannot be planned; deploy will report the error: %s", day, error)
        return False
    active = read_active(lake)
    return active.release == planned and active.soaked and runtime.follows(planned)


def _note(chain: Chain, later: Later, day: date) -> str:
    """Describe what is unusual about releasing this version on this date: barred versions, and later dates that do not count."""
    refused = (f"{late} is later but {reason}, so {day} is the newest date" for late, reason in sorted(later.refused.items()))
    untrained = later.describe_untrained()
    uncounted = f"later dates do not count ({untrained}), so {day} is the newest date" if untrained else ""
    return "; ".join(part for part in (champion_of(chain, day).note, *refused, uncounted) if part)


def _to_release(lake: Lake, chain: Chain, day: date) -> tuple[Model | None, str]:
    """Return the model to release, or None and the reason."""
    return to_release(chain, read_active(lake), later_drops(lake, chain, day), day)


def _release(lake: Lake, runtime: Runtime, plan: ReleasePlan) -> Steps:
    def may_switch() -> str | None:
        chain = read_chain(lake)
        model, reason = _to_release(lake, chain, plan.day)
        return reason if model is None else None if model == plan.model else f"{model.version} is the champion of {plan.day} now"

    check_memory(lake, plan)
    return bring_live(lake, runtime, build_release(lake, plan), may_switch)


def _fall_back(
    lake: Lake, runtime: Runtime, plan: ReleasePlan, before: str | None, cause: ReleaseFailedError
) -> ReleaseFailedError:
    """Record the failure, release the champion that remains, and return an error that reports all of this."""
    served = read_release(lake, before)["version"] if before else None
    # A version that already serves did not get worse. Its release failed because of the lookups or the machine.
    barred = plan.model.version if plan.model.version != served else None
    chain = record_intervention(lake, plan.day, plan.id, barred, DEPLOY, str(cause))
    problems = [
        *cause.problems,
        f"version {barred} is barred" if barred else f"version {served} is not barred; release {before} stays active",
    ]
    model = champion_of(chain, plan.day).model if barred else None
    if model is not None:
        fallback = plan_release(lake, chain, plan.day, model)
        try:
            _release(lake, runtime, fallback)
            problems.append(f"version {model.version} serves instead, as release {fallback.id}")
        except ReleaseFailedError as error:
            # Two failures in a row point to the machine or the lookups, not to the models. Bar no more models.
            record_intervention(lake, plan.day, fallback.id, None, DEPLOY, str(error))
            problems.append(f"version {model.version}, tried instead, failed too: {error}")
        except PerennialError as error:
            problems.append(f"version {model.version} could not be released instead: {error}")
    return ReleaseFailedError(cause.what, problems, cause.remedy or SEE)


def record_intervention(lake: Lake, day: date, release: str | None, barred: str | None, who: str, reason: str) -> Chain:
    """Append an intervention to the decision log."""
    item = make_intervention(day, release, barred, who, reason)
    return update_chain(lake, lambda chain: intervene(chain, item))


def make_intervention(
    day: date, release: str | None, barred: str | None, who: str, reason: str, target: str | None = None
) -> Intervention:
    """Return an intervention of now."""
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    return Intervention(day.isoformat(), release, barred, who, reason[:REASON_LENGTH], at, target)


def _result(lake: Lake, outcome: Outcome, plan: ReleasePlan, note: str, steps: Steps) -> Deployed:
    return Deployed(
        outcome,
        plan.day,
        released=plan.id,
        version=plan.model.version,
        as_of=read_release(lake, plan.id)["as_of"],
        note=note,
        serve_check=steps.serve_check,
        switch_seconds=steps.switch_seconds,
        soak=steps.soak,
    )
