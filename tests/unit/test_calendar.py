"""Dates: what a run belongs to, needs, trains on and is judged on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.calendar import Calendar, as_of, days, parse_date
from perennial.errors import DateRefusedError

NEW_YORK = ZoneInfo("America/New_York")
START = date(2013, 1, 1)
END = date(2013, 12, 31)


def calendar(**changes) -> Calendar:
    values = {
        "pipeline": "p",
        "time_zone": NEW_YORK,
        "start": START,
        "end": END,
        "window_days": 28,
        "holdout_days": 7,
        "lookback_days": 28,
        "min_days": 30,
    }
    return Calendar(**{**values, **changes})


@pytest.mark.parametrize("day", [START, END])
def test_first_and_last_date_belong_to_the_pipeline(day: date) -> None:
    assert calendar().check(day) == day


@pytest.mark.parametrize("day", [date(2012, 12, 31), date(2014, 1, 1)])
def test_dates_outside_are_refused(day: date) -> None:
    with pytest.raises(DateRefusedError, match="outside its dates 2013-01-01 to 2013-12-31"):
        calendar().check(day)


def test_without_end_every_later_date_belongs() -> None:
    assert calendar(end=None).check(date(2030, 1, 1)) == date(2030, 1, 1)


def test_needed_history_is_window_holdout_and_lookback() -> None:
    needed = calendar().needed_dates(date(2013, 6, 30))
    assert len(needed) == 28 + 7 + 28
    assert needed[-1] == date(2013, 6, 30)


def test_needed_history_is_cut_at_start() -> None:
    needed = calendar().needed_dates(date(2013, 2, 12))
    assert (needed[0], len(needed)) == (START, 43)


def test_split_takes_the_last_landed_dates_as_holdout() -> None:
    landed = [day for day in days(START, date(2013, 2, 12)) if day != date(2013, 2, 10)]
    split = calendar().split(date(2013, 2, 12), landed)
    assert split.holdout == (*days(date(2013, 2, 5), date(2013, 2, 9)), date(2013, 2, 11), date(2013, 2, 12))
    assert split.window == tuple(days(date(2013, 1, 9), date(2013, 2, 4)))
    assert split.too_little is None


def test_split_ignores_later_dates() -> None:
    day = date(2013, 2, 12)
    assert calendar().split(day, days(START, END)) == calendar().split(day, days(START, day))


def test_too_little_history_says_how_much() -> None:
    day = date(2013, 1, 12)
    assert calendar().split(day, days(START, day)).too_little == "12 of 30 days"


def test_nothing_landed() -> None:
    assert calendar().split(START, []).too_little == "0 of 30 days"


@given(
    st.sets(st.dates(START, date(2013, 4, 30))),
    st.dates(START, date(2013, 4, 30)),
    st.integers(1, 40),
    st.integers(1, 10),
)
def test_window_and_holdout_never_overlap_nor_see_the_future(landed: set[date], day: date, window: int, holdout: int) -> None:
    split = calendar(window_days=window, holdout_days=holdout, min_days=1).split(day, landed)
    assert set(split.window) | set(split.holdout) <= {d for d in landed if d <= day}
    assert len(split.holdout) <= holdout
    assert all(w < h for w in split.window for h in split.holdout)


def test_lookback_ends_the_day_before_as_of() -> None:
    found = calendar().lookback(date(2013, 3, 1))
    assert (found[0], found[-1], len(found)) == (date(2013, 2, 1), date(2013, 2, 28), 28)


def test_as_of_is_the_next_midnight() -> None:
    assert as_of(date(2013, 2, 28)) == date(2013, 3, 1)


def test_manual_run_takes_its_param() -> None:
    assert _run_date(param="2013-02-12", manual=True) == date(2013, 2, 12)


def test_a_date_that_has_not_begun_is_refused() -> None:
    now = datetime(2013, 6, 2, 3, 59, tzinfo=UTC)  # 1 June still, in New York
    assert _run_date(param="2013-06-01", manual=True, run_after=now) == date(2013, 6, 1)
    with pytest.raises(DateRefusedError, match="2013-06-02 is in the future, today is 2013-06-01"):
        _run_date(param="2013-06-02", manual=True, run_after=now)


def test_manual_run_without_param_takes_yesterday_but_not_after_end() -> None:
    assert _run_date(manual=True, run_after=datetime(2026, 11, 1, tzinfo=UTC)) == END
    assert _run_date(manual=True, run_after=datetime(2013, 3, 2, 4, 59, tzinfo=UTC)) == date(2013, 2, 28)
    assert _run_date(manual=True, run_after=datetime(2013, 3, 2, 5, 0, tzinfo=UTC)) == date(2013, 3, 1)


def test_scheduled_run_takes_the_local_date_of_its_interval() -> None:
    start = datetime(2013, 3, 10, tzinfo=NEW_YORK)
    assert _run_date(interval_start=start.astimezone(UTC)) == date(2013, 3, 10)


@pytest.mark.parametrize("hour", range(24))
def test_local_date_holds_over_daylight_saving(hour: int) -> None:
    instant = datetime(2013, 3, 10, 5, tzinfo=UTC) + timedelta(hours=hour)
    assert calendar().local_date(instant) == (date(2013, 3, 10) if hour < 23 else date(2013, 3, 11))


def test_instant_without_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        calendar().local_date(datetime(2013, 1, 1))


@pytest.mark.parametrize(
    "text", ["2013-2-1", "2013-02-30", "2013-02-01\n", " 2013-02-01", "\uff12\uff10\uff11\uff13-02-01", "20130201", "today", ""]
)
def test_only_iso_dates_are_dates(text: str) -> None:
    with pytest.raises(DateRefusedError, match="Write it as YYYY-MM-DD"):
        parse_date(text)


def _run_date(
    *,
    param: str | None = None,
    interval_start: datetime | None = None,
    run_after: datetime = datetime(2013, 6, 1, 12, tzinfo=UTC),
    manual: bool = False,
) -> date:
    return calendar().run_date(param=param, interval_start=interval_start, run_after=run_after, manual=manual)
