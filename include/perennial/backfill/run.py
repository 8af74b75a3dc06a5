"""Run a range of dates through Airflow's own backfill, and wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import pairwise

from perennial.backfill.again import Again
from perennial.backfill.airflow_client import AirflowClient, Backfill, dag_of
from perennial.backfill.plan import HistoryPlan
from perennial.backfill.progress import Progress, Tracker
from perennial.calendar import DAY, midnight
from perennial.errors import PerennialError, RefusedError, UnreachableError
from perennial.evaluate.chain_store import read_chain
from perennial.freshness.stale import stale_dates
from perennial.lake.lake import Lake

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MAX_DISCOVERY_SECONDS = 120
"""Maximum seconds until Airflow notices the end of a backfill. Its scheduler checks twice a minute."""

MIN_EMPTY_CHECKS = 5
"""Checks without an unended run before we report a backfill as ended. A new backfill also has no runs for a moment."""

MAX_SILENCE_SECONDS = 300
"""Maximum seconds to wait while Airflow's API server does not answer. Runs continue without it."""

RUNS_AT_ONCE = 4
"""Number of runs at once. While one computes the batch, the others wait for it. After that a run mostly waits for Airflow."""

UNENDED = ("queued", "running")
REPROCESS = {Again.ALL: "completed", Again.FAILED: "failed", Again.MISSING: "none", Again.STALE: "completed"}
"""Airflow's name for the dates that run again although they have run before."""


@dataclass(frozen=True, slots=True)
class HistorySummary:
    """
    The result of a backfill.

    :param backfills: Airflow's ids
    :param dates: the number of dates that ran
    :param failed: the dates that failed (ISO)
    :param decisions: the number of decisions of each kind
    :param stale: the number of stale decisions of the pipeline afterwards
    """

    backfills: list[int]
    seconds: float
    dates: int
    failed: list[str]
    decisions: dict[str, int]
    stale: int


OnProgress = Callable[[Progress], None]


def run_history(airflow: AirflowClient, lake: Lake, plan: HistoryPlan, again: Again, on_progress: OnProgress) -> HistorySummary:
    """Run the dates of the plan that need it, range by range, and return the result."""
    began = time.monotonic()
    backfills: list[int] = []
    ran: list[date] = []
    failed: list[date] = []
    for first, last in _find_ranges(airflow, lake, plan, again):
        backfill_id, failed_dates = _run_range(airflow, lake, Tracker(lake, plan, first, last), REPROCESS[again], on_progress)
        backfills.append(backfill_id)
        ran += lake.pipeline.calendar.dates(first, last)
        failed += failed_dates
    entries = read_chain(lake).entries
    decided = [entries[d.isoformat()] for d in ran if d not in failed and d.isoformat() in entries]
    return HistorySummary(
        backfills=backfills,
        seconds=round(time.monotonic() - began, 1),
        dates=len(ran),
        failed=[d.isoformat() for d in failed],
        decisions={name: sum(e.decision == name for e in decided) for name in ("PROMOTE", "HOLD", "REJECT")},
        stale=sum(entry.stale for entry in entries.values()),
    )


def _find_ranges(airflow: AirflowClient, lake: Lake, plan: HistoryPlan, again: Again) -> Iterator[tuple[date, date]]:
    """
    Yield the first and last date of each range to run.

    Stale dates are read again after each range, because a changed decision makes later dates stale. A backfill that is already
    running comes first, with its own range. Blocked dates are left out, because they cannot be judged again.
    """
    first, last, data_days = plan.dates[0], plan.dates[-1], lake.pipeline.calendar.data_days
    if again is not Again.STALE:
        yield first, last
        return
    running = _find_running(airflow, dag_of(lake.pipeline.name))
    if running is not None:
        running_first, running_last = (lake.pipeline.calendar.local_date(instant) for instant in _span(running))
        if first <= running_first <= running_last <= last:
            yield running_first, running_last
    while first <= last and (stale := [day for day, state in stale_dates(lake, first, last).items() if not state.is_blocked]):
        # The range ends before the first date with data that is not stale.
        end = next((day for day, next_stale in pairwise(stale) if next_stale != data_days.after(day)), stale[-1])
        yield stale[0], end
        first = end + DAY


def _run_range(
    airflow: AirflowClient, lake: Lake, tracker: Tracker, reprocess: str, on_progress: OnProgress
) -> tuple[int, list[date]]:
    """Create a backfill in Airflow, or join a running one. Wait for its end, and return its id and the failed dates."""
    zone, first, last = lake.pipeline.calendar.time_zone, tracker.progress.first, tracker.progress.last
    begin, end = midnight(first, zone), midnight(last, zone)
    dag_id = dag_of(lake.pipeline.name)
    running = _find_running(airflow, dag_id)
    if running is not None:
        _check_same(running, begin, end, dag_id)
        log.warning("Joining backfill %s, which is already running", running["id"])
    if airflow.unpause(dag_id):
        log.warning("%s was paused and has been unpaused, because runs of a paused DAG wait. Its schedule is active now", dag_id)
    if running is None:
        until = {"until": last.isoformat()}
        backfill_id = airflow.backfill(dag_id, begin, end, until, reprocess=reprocess, runs_at_once=RUNS_AT_ONCE)
    else:
        backfill_id = int(running["id"])
        if running["is_paused"]:
            airflow.unpause_backfill(backfill_id)
            log.warning("Backfill %s was paused and has been unpaused", backfill_id)

    _wait(airflow, dag_id, backfill_id, (begin, end), is_ours=running is None, tracker=tracker, on_progress=on_progress)
    failed = [datetime.fromisoformat(instant) for instant in airflow.logical_dates(dag_id, begin, end, "failed")]
    return backfill_id, sorted(lake.pipeline.calendar.local_date(instant) for instant in failed)


def _wait(
    airflow: AirflowClient,
    dag_id: str,
    backfill_id: int,
    span: tuple[datetime, datetime],
    *,
    is_ours: bool,
    tracker: Tracker,
    on_progress: OnProgress,
) -> None:
    """
    Wait until a backfill has ended, or raise PerennialError if it was cancelled.

    :param span: the first and the last logical date of the backfill
    :param is_ours: whether this command created the backfill
    """
    unended, reported, last_answer = 0, "", time.monotonic()
    while True:
        try:
            unended = airflow.count_runs(dag_id, *span, *UNENDED)
            # Read this after the runs, so that a cancellation that ended the last of them is visible.
            backfill = airflow.backfill_facts(backfill_id)
            waits = _reason_to_wait(airflow, dag_id, backfill)
            tracker.look(unended, airflow.running_tasks(dag_id, *span), datetime.fromisoformat(backfill["created_at"]))
        except UnreachableError as error:
            if time.monotonic() - last_answer > MAX_SILENCE_SECONDS:
                raise
            waits = f"{error} Retrying for {MAX_SILENCE_SECONDS} s; runs may continue in the meantime"
        else:
            last_answer = time.monotonic()
            if backfill["completed_at"] is not None:
                if backfill["is_paused"]:
                    _check_cancelled(airflow, dag_id, backfill_id, span)
                return
            if is_ours and not unended:
                return  # our backfill has all its runs from its creation on; a backfill that we joined may not have them yet
        if waits and waits != reported:
            log.warning("%s", waits)
        reported = waits
        on_progress(replace(tracker.progress, waits=waits))
        time.sleep(POLL_SECONDS)


def _reason_to_wait(airflow: AirflowClient, dag_id: str, backfill: Backfill) -> str:
    if backfill["is_paused"]:
        return f"Backfill {backfill['id']} is paused in Airflow: its runs wait until someone unpauses it"
    return airflow.reason_to_wait(dag_id)


def _check_cancelled(airflow: AirflowClient, dag_id: str, backfill_id: int, span: tuple[datetime, datetime]) -> None:
    """
    Raise PerennialError if a backfill that ended while paused was cancelled.

    Some runs of a cancelled backfill have failed or have not ended.
    """
    unended, failed = airflow.count_runs(dag_id, *span, *UNENDED), airflow.count_runs(dag_id, *span, "failed")
    if unended or failed:
        raise PerennialError(
            f"Backfill {backfill_id} was cancelled in Airflow, "
            f"which marks runs that had not started as failed ({failed} failed). "
            f"{unended} runs continue to their end. Repeat the command to run the remaining dates."
        )


def _find_running(airflow: AirflowClient, dag_id: str) -> Backfill | None:
    """
    Return the running backfill of a DAG, or None.

    A backfill whose runs have ended blocks the next one until Airflow marks it as completed, so this waits for that. Cancelling
    it would be quicker, but would leave it paused: runs that someone clears later would wait for ever.
    """
    empty_checks, deadline = 0, time.monotonic() + MAX_DISCOVERY_SECONDS
    while (backfill := airflow.open_backfill(dag_id)) is not None:
        if airflow.count_runs(dag_id, *_span(backfill), *UNENDED):
            return backfill
        empty_checks += 1
        if empty_checks == MIN_EMPTY_CHECKS:
            log.warning("Backfill %s has ended: waiting until Airflow notices, up to half a minute", backfill["id"])
        if time.monotonic() > deadline:
            raise PerennialError(
                f"{dag_id}: backfill {backfill['id']} has no unended run, "
                f"but Airflow has not marked it as completed for {MAX_DISCOVERY_SECONDS} s. "
                "Is the scheduler running (`make status`)?"
            )
        time.sleep(POLL_SECONDS)
    return None


def _span(backfill: Backfill) -> tuple[datetime, datetime]:
    """Return the first and the last logical date of one of Airflow's backfills."""
    return datetime.fromisoformat(backfill["from_date"]), datetime.fromisoformat(backfill["to_date"])


def _check_same(running: Backfill, first: datetime, last: datetime, dag_id: str) -> None:
    if _span(running) != (first, last):
        raise RefusedError(
            f"{dag_id}: another backfill is running, {running['id']}, from {running['from_date']} to {running['to_date']}",
            remedy="Airflow runs one backfill at a time for a DAG: wait for it, or cancel it on Airflow's page of backfills.",
        )
