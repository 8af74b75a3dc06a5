"""Running a range of dates through Airflow's own backfill, and waiting for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

from perennial.backfill.again import Again
from perennial.backfill.airflow_client import AirflowClient, Backfill, dag_of
from perennial.backfill.plan import HistoryPlan
from perennial.calendar import DAY, midnight
from perennial.errors import PerennialError, RefusedError, UnreachableError
from perennial.evaluate.chain_store import read_chain
from perennial.freshness.stale import stale_dates
from perennial.lake.lake import Lake

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MAX_DISCOVERY_SECONDS = 120
"""Seconds; Airflow's scheduler looks twice a minute whether a backfill has ended."""
SURE_AFTER_LOOKS = 5
"""One that is just being made has no run for a moment, like one that has ended."""
MAX_SILENCE_SECONDS = 300
"""Seconds that a wait outlives Airflow's API server: what runs goes on without it."""
RUNS_AT_ONCE = 4
"""One works ahead and the others wait for it; then most of a run is waiting for Airflow."""
UNENDED = ("queued", "running")
REPROCESS = {Again.ALL: "completed", Again.FAILED: "failed", Again.MISSING: "none", Again.STALE: "completed"}


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a range is: dates of it that have ended, of all that have data.

    :param task: what is at work, if it is more than a look for work
    :param waits: why it does not go on, where that is so
    """

    first: date
    last: date
    ended: int
    total: int
    task: str = ""
    waits: str = ""


@dataclass(frozen=True, slots=True)
class HistorySummary:
    """
    What a range came to.

    :param backfills: Airflow's ids
    :param dates: how many dates ran
    :param failed: those that failed (ISO)
    :param decisions: how many of each kind
    :param stale: stale decisions of the pipeline by now
    """

    backfills: list[int]
    seconds: float
    dates: int
    failed: list[str]
    decisions: dict[str, int]
    stale: int


OnProgress = Callable[[Progress], None]


def run_history(airflow: AirflowClient, lake: Lake, plan: HistoryPlan, again: Again, on_progress: OnProgress) -> HistorySummary:
    """Run what is to run, range by range, and return what came of it."""
    began = time.monotonic()
    backfills: list[int] = []
    ran: list[date] = []
    failed: list[date] = []
    for first, last in _ranges(airflow, lake, plan, again):
        one, lost = _run_range(airflow, lake, first, last, REPROCESS[again], on_progress)
        backfills.append(one)
        ran += lake.pipeline.calendar.dates(first, last)
        failed += lost
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


def _ranges(airflow: AirflowClient, lake: Lake, plan: HistoryPlan, again: Again) -> Iterator[tuple[date, date]]:
    """
    Yield the first and last date of each range that is to run.

    Stale dates are asked for anew after each range: what a rerun decides otherwise makes later dates stale. One that runs already
    comes first, as it was asked for. Dates whose own drop is refused or gone are left out: they could only fail.
    """
    first, last, data_days = plan.dates[0], plan.dates[-1], lake.pipeline.calendar.data_days
    if again is not Again.STALE:
        yield first, last
        return
    running = _running(airflow, dag_of(lake.pipeline.name))
    if running is not None:
        local = [lake.pipeline.calendar.local_date(instant) for instant in _span(running)]
        if first <= local[0] <= local[1] <= last:
            yield local[0], local[1]
    while first <= last and (found := [day for day, one in stale_dates(lake, first, last).items() if not one.is_blocked]):
        end = next((a for a, b in pairwise(found) if b != data_days.after(a)), found[-1])
        yield found[0], end
        first = end + DAY


def _run_range(
    airflow: AirflowClient, lake: Lake, first: date, last: date, reprocess: str, on_progress: OnProgress
) -> tuple[int, list[date]]:
    """Create Airflow's backfill, or join the one that runs; return its id and the dates that failed once it has ended."""
    zone, total = lake.pipeline.calendar.time_zone, len(lake.pipeline.calendar.dates(first, last))
    begin, end = midnight(first, zone), midnight(last, zone)
    dag_id = dag_of(lake.pipeline.name)
    running = _running(airflow, dag_id)
    if running is not None:
        _check_same(running, begin, end, dag_id)
        log.warning("Joining backfill %s, which runs already", running["id"])
    if airflow.unpause(dag_id):
        log.warning("%s was paused and no longer is: runs of a paused DAG wait. Its schedule runs too from now on", dag_id)
    if running is None:
        until = {"until": last.isoformat()}
        backfill_id = airflow.backfill(dag_id, begin, end, until, reprocess=reprocess, runs_at_once=RUNS_AT_ONCE)
    else:
        backfill_id = int(running["id"])
        if running["is_paused"]:
            airflow.unpause_backfill(backfill_id)
            log.warning("Backfill %s was paused and no longer is", backfill_id)

    def show(unended: int, task: str, waits: str) -> None:
        on_progress(Progress(first, last, max(total - unended, 0), total, task, waits))

    _wait(airflow, dag_id, backfill_id, (begin, end), is_ours=running is None, show=show)
    lost = [datetime.fromisoformat(instant) for instant in airflow.logical_dates(dag_id, begin, end, "failed")]
    return backfill_id, sorted(lake.pipeline.calendar.local_date(instant) for instant in lost)


def _wait(
    airflow: AirflowClient,
    dag_id: str,
    backfill_id: int,
    span: tuple[datetime, datetime],
    *,
    is_ours: bool,
    show: Callable[[int, str, str], None],
) -> None:
    """Wait until a backfill has ended, telling how many runs have not, what is at work and what keeps them; an error if it was cancelled."""
    unended, task, told, answered = 0, "", "", time.monotonic()
    while True:
        try:
            unended = airflow.count_runs(dag_id, *span, *UNENDED)
            facts = airflow.backfill_facts(backfill_id)  # after the runs: a cancellation that ended the last of them is seen
            waits = _what_keeps_it(airflow, dag_id, facts)
            task = ", ".join(sorted(airflow.running_tasks(dag_id, *span) - {"plan_run"}))
        except UnreachableError as error:
            if time.monotonic() - answered > MAX_SILENCE_SECONDS:
                raise
            waits = f"{error} Asking again for {MAX_SILENCE_SECONDS} s; runs may go on meanwhile"
        else:
            answered = time.monotonic()
            if facts["completed_at"] is not None:
                if facts["is_paused"]:
                    _check_whole(airflow, dag_id, backfill_id, span)
                return
            if is_ours and not unended:
                return  # all its runs are there since it was made; of one that was joined we cannot know
        if waits and waits != told:
            log.warning("%s", waits)
        told = waits
        show(unended, task, waits)
        time.sleep(POLL_SECONDS)


def _what_keeps_it(airflow: AirflowClient, dag_id: str, facts: Backfill) -> str:
    if facts["is_paused"]:
        return f"Backfill {facts['id']} is paused in Airflow: its runs wait until somebody unpauses it"
    if airflow.is_paused(dag_id):
        return f"{dag_id} is paused in Airflow: its runs wait until somebody unpauses it"
    return ""


def _check_whole(airflow: AirflowClient, dag_id: str, backfill_id: int, span: tuple[datetime, datetime]) -> None:
    """Raise when one that ended while it was paused was cancelled: then some of its runs have failed, or have not ended."""
    unended, failed = airflow.count_runs(dag_id, *span, *UNENDED), airflow.count_runs(dag_id, *span, "failed")
    if unended or failed:
        raise PerennialError(
            f"Backfill {backfill_id} was cancelled in Airflow, which marks as failed what had not begun ({failed} failed); "
            f"{unended} runs go on to their end. The same command does what is left."
        )


def _running(airflow: AirflowClient, dag_id: str) -> Backfill | None:
    """
    Return the backfill of a DAG that runs, or None.

    Airflow's scheduler looks twice a minute whether one has ended, and allows no other until then. To cancel it would be quicker, but
    what is cancelled is paused: its runs, cleared by hand later, would wait for ever.
    """
    looks, deadline = 0, time.monotonic() + MAX_DISCOVERY_SECONDS
    while (found := airflow.open_backfill(dag_id)) is not None:
        if airflow.count_runs(dag_id, *_span(found), *UNENDED):
            return found
        looks += 1
        if looks == SURE_AFTER_LOOKS:
            log.warning("Backfill %s has ended: waiting until Airflow sees it, up to half a minute", found["id"])
        if time.monotonic() > deadline:
            raise PerennialError(
                f"{dag_id}: backfill {found['id']} has no run left, and Airflow has not declared it ended for {MAX_DISCOVERY_SECONDS} s. "
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
            f"{dag_id}: another backfill runs, {running['id']}, from {running['from_date']} to {running['to_date']}",
            remedy="Airflow runs one at a time for a DAG: wait for it, or cancel it in Airflow's page of backfills.",
        )
