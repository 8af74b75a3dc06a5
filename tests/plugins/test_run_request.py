"""What a user may ask of a run, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from perennial.calendar import Calendar, DataDays
from perennial.errors import DateRefusedError, RefusedError
from perennial_airflow.run_request import RunRequest, read_request

CALENDAR = Calendar("flights", ZoneInfo("America/New_York"), date(2013, 1, 1), date(2013, 12, 31), 28, 7, 28, 30)
DEFAULTS = {"date": None, "until": None, "recompute": False, "force_decision": None, "force_reason": None}


def request(calendar: Calendar = CALENDAR, *, conf: dict[str, Any] | None = None, **changes: Any) -> RunRequest:
    run: dict[str, Any] = {"interval_start": None, "run_after": datetime(2026, 11, 23, 4, tzinfo=UTC), "run_type": "manual"}
    run |= {key: changes.pop(key) for key in list(changes) if key in run}
    return read_request(calendar, conf=conf or {}, params={**DEFAULTS, **changes, **(conf or {})}, **run)


def test_defaults_take_the_end_of_data_that_has_ended() -> None:
    assert request() == RunRequest(date(2013, 12, 31), None, False, None, None)


def test_defaults_take_the_local_yesterday_of_data_that_goes_on() -> None:
    goes_on = Calendar("flights", ZoneInfo("America/New_York"), date(2013, 1, 1), None, 28, 7, 28, 30)

    # 04:00 UTC is 23:00 of the 22nd in New York.
    assert request(goes_on).day == date(2026, 11, 21)


def test_typed_date_wins() -> None:
    assert request(date="2013-02-12").day == date(2013, 2, 12)


def test_scheduled_run_takes_the_local_date_of_its_interval() -> None:
    assert request(run_type="scheduled", interval_start=datetime(2013, 2, 12, 5, tzinfo=UTC)).day == date(2013, 2, 12)


def test_a_backfill_takes_no_date_and_may_work_ahead() -> None:
    interval = {"run_type": "backfill", "interval_start": datetime(2013, 2, 12, 5, tzinfo=UTC)}
    found = request(until="2013-03-01", **interval)
    assert (found.day, found.until) == (date(2013, 2, 12), date(2013, 3, 1))
    with pytest.raises(RefusedError, match="date '2013-02-13': a backfill run has the date of its data interval"):
        request(date="2013-02-13", **interval)
    with pytest.raises(DateRefusedError, match="outside its dates"):
        request(until="2014-01-01", **interval)


def test_nobody_works_ahead_into_the_future() -> None:
    goes_on = Calendar("flights", ZoneInfo("America/New_York"), date(2013, 1, 1), None, 28, 7, 28, 30)
    assert request(goes_on, date="2026-11-20", until="2026-11-22").until == date(2026, 11, 22)
    later = datetime.now(UTC).date() + timedelta(days=2)
    with pytest.raises(DateRefusedError, match=f"{later} is in the future"):
        request(goes_on, date="2026-11-20", until=later.isoformat())
    with pytest.raises(RefusedError, match="until 2026-11-19 is before the run's date, 2026-11-20"):
        request(goes_on, date="2026-11-20", until="2026-11-19")


def test_a_rest_date_has_no_run_and_may_end_a_range() -> None:
    workdays = replace(CALENDAR, data_days=DataDays(frozenset(range(5))))
    interval = {"run_type": "scheduled", "interval_start": datetime(2013, 3, 9, 5, tzinfo=UTC)}
    for asked in ({"date": "2013-03-09"}, interval):
        with pytest.raises(
            DateRefusedError, match=r"2013-03-09 is a rest date .Saturday.; .* 2013-03-08 before and 2013-03-11 after"
        ):
            request(workdays, **asked)
    assert request(workdays, date="2013-03-08", until="2013-03-10").until == date(2013, 3, 10)


@pytest.mark.parametrize("typed", ["2012-12-31", "2014-01-01", "2013-02-30", "2013-02-12\n", "tomorrow", "٢٠١٣-٠٢-١٢"])
def test_impossible_date_is_refused(typed: str) -> None:
    with pytest.raises(DateRefusedError):
        request(date=typed)


def test_day_that_has_not_begun_is_refused() -> None:
    with pytest.raises(DateRefusedError, match="is in the future"):
        request(date="2013-02-12", run_after=datetime(2013, 2, 12, 4, tzinfo=UTC))


def test_day_that_has_begun_is_taken() -> None:
    assert request(date="2013-02-12", run_after=datetime(2013, 2, 12, 6, tzinfo=UTC)).day == date(2013, 2, 12)


def test_unknown_key_is_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(RefusedError, match=r"unknown key 'dat'. Did you mean 'date'\?"):
        request(conf={"dat": "2013-02-12"})


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_forced_decision_needs_a_reason(reason: str | None) -> None:
    with pytest.raises(RefusedError, match="a forced decision needs a reason"):
        request(force_decision="HOLD", force_reason=reason)


def test_reason_without_decision_is_refused() -> None:
    with pytest.raises(RefusedError, match="force_reason without force_decision"):
        request(force_reason="because")


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(RefusedError, match="2 problems"):
        request(conf={"dat": "2013-02-12"}, force_decision="HOLD")


def test_forced_decision_with_reason_is_taken() -> None:
    asked = request(force_decision="HOLD", force_reason="the airport was closed")

    assert (asked.force_decision, asked.force_reason) == ("HOLD", "the airport was closed")
