"""The params of a run, and their check."""

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


def read_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params of a run. An empty text is an absent value: clients of the API send every field of a form."""
    return {key: None if value == "" else value for key, value in params.items()}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The date of a run, and the other params that its user set."""

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
    Return the request of a run, or raise RefusedError with every problem.

    Airflow checks declared params against their schema, but silently accepts unknown keys of `conf` as params. This function
    refuses unknown keys, and checks the rules that no schema can express.
    """
    problems = [f"unknown key {key!r}.{did_you_mean(key, KEYS)}" for key in sorted(conf) if key not in KEYS]
    decision, reason = params["force_decision"], params["force_reason"]
    if decision is not None and not (reason or "").strip():
        problems.append("force_decision without force_reason: a forced decision needs a reason")
    if decision is None and reason is not None:
        problems.append("force_reason without force_decision")
    manual = run_type == "manual"
    if params["date"] is not None and not manual:
        problems.append(f"date {params['date']!r}: a {run_type} run has the date of its data interval")
    if problems:
        raise RefusedError(f"Pipeline {calendar.pipeline!r}: the run's params", problems, f"The keys are: {', '.join(KEYS)}.")
    day = calendar.run_date(param=params["date"], interval_start=interval_start, run_after=run_after, manual=manual)
    until = None
    if params["until"] is not None:
        until = calendar.check_begun(parse_date(params["until"]), datetime.now(UTC))  # a backfill runs "after" the past
        # Every run of a backfill has the same `until`. A difference of time zones may put the date of its last run after it.
        if manual and until < day:
            raise RefusedError(f"Pipeline {calendar.pipeline!r}: until {until} is before the run's date, {day}")
    return RunRequest(day, until, bool(params["recompute"]), decision, reason)
