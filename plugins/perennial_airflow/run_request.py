"""What a user may ask of a run: the params of the DAG, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from perennial.calendar import Calendar, parse_date
from perennial.errors import RefusedError, did_you_mean

KEYS = ("date", "until", "recompute", "force_decision", "force_reason")
DECISIONS = ("PROMOTE", "HOLD", "REJECT")
MAX_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The date of a run, and what its user asked beyond it."""

    day: date
    until: date | None
    recompute: bool
    force_decision: str | None
    force_reason: str | None


def read_request(
    calendar: Calendar,
    *,
    conf: Mapping[str, Any],
    params: Mapping[str, Any],
    interval_start: datetime | None,
    run_after: datetime,
    run_type: str,
) -> RunRequest:
    """
    Return what a run is asked to do, or raise RefusedError with every problem.

    Airflow checks declared params against their schema; keys of `conf` that are none of them become params silently, so they
    are refused here, and what no schema can say is checked.
    """
    problems = [f"unknown key {key!r}.{did_you_mean(key, KEYS)}" for key in sorted(conf) if key not in KEYS]
    decision, reason = params["force_decision"], params["force_reason"]
    if decision is not None and not (reason or "").strip():
        problems.append("force_decision without force_reason: a forced decision says why")
    if decision is None and reason is not None:
        problems.append("force_reason without force_decision")
    manual = run_type == "manual"
    if params["date"] is not None and not manual:
        problems.append(f"date {params['date']!r}: a {run_type} run has the date of its data interval")
    if problems:
        raise RefusedError(f"Pipeline {calendar.pipeline!r}: the run's params", problems, f"There are: {', '.join(KEYS)}.")
    day = calendar.run_date(param=params["date"], interval_start=interval_start, run_after=run_after, manual=manual)
    until = None
    if params["until"] is not None:
        until = calendar.check_begun(parse_date(params["until"]), datetime.now(UTC))  # a backfill runs "after" the past
        # Every run of a backfill has its `until`; the last ones may lie after it by an hour of another time zone.
        if manual and until < day:
            raise RefusedError(f"Pipeline {calendar.pipeline!r}: until {until} is before the run's date, {day}")
    return RunRequest(day, until, bool(params["recompute"]), decision, reason)
