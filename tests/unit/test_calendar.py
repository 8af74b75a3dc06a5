"""Dates: what a run belongs to, needs, trains on and is judged on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.calendar import EVERY_DAY, Calendar, DataDays, days, parse_date
from perennial.errors import DateRefusedError

NEW_YORK = ZoneInfo("America/New_York")
START = date(2013, 1, 1)
END = date(2013, 12, 31)
FRIDAY, SATURDAY, MONDAY = date(2013, 3, 8), date(2013, 3, 9), date(2013, 3, 11)
WORKDAYS = DataDays(frozenset(range(5)), frozenset({date(2013, 2, 18), date(2013, 5, 27)}))


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


@given(
    later=st.integers(0, 60),
    window=st.integers(1, 40),
    holdout=st.integers(1, 10),
    lookback=st.integers(0, 40),
    run=st.dates(START, END),
    gaps=st.sets(st.dates(START, END), max_size=40),
)
@pytest.mark.exhaustive
def test_later_labels_shift_window_and_holdout_and_lengthen_the_history(
    later: int, window: int, holdout: int, lookback: int, run: date, gaps: set[date]
) -> None:
    lengths = {"window_days": window, "holdout_days": holdout, "lookback_days": lookback, "min_days": 1}
    shifted, plain = calendar(known_after_days=later, **lengths), calendar(**lengths)
    known_until = run - timedelta(days=later)
    landed = set(days(START, END)) - gaps
    split = shifted.split(run, landed)
    rows = {*split.window, *split.holdout}
    assert all(day <= known_until for day in rows)
    if known_until >= START:
        assert (split.window, split.holdout) == tuple(
            getattr(plain.split(known_until, landed), name) for name in ("window", "holdout")
        )
        assert shifted.needed_dates(run) == [*plain.needed_dates(known_until), *days(known_until + timedelta(days=1), run)]
        assert shifted.feature_dates(run) == [*plain.feature_dates(known_until), *days(known_until + timedelta(days=1), run)]
    else:
        assert rows == set()
        assert shifted.needed_dates(run) == list(days(START, run))


@given(
    later=st.integers(0, 60),
    holdout=st.integers(1, 10),
    weekdays=st.sets(st.integers(0, 6), min_size=1),
    run=st.dates(START, END),
    gaps=st.sets(st.dates(START, END), max_size=40),
)
@pytest.mark.exhaustive
def test_later_labels_and_rest_dates_together(later: int, holdout: int, weekdays: set[int], run: date, gaps: set[date]) -> None:
    resting = calendar(known_after_days=later, holdout_days=holdout, data_days=DataDays(frozenset(weekdays)))
    split = resting.split(run, set(days(START, END)) - gaps)
    rows = [*split.window, *split.holdout]
    assert all(day <= run - timedelta(days=later) and day.weekday() in weekdays for day in rows)
    assert set(rows) <= set(resting.feature_dates(run)) <= set(resting.needed_dates(run))
    whole = resting.split(run, days(START, END))
    # Without gaps the history reaches exactly as far back as the window does.
    if rows and whole.holdout[0] - timedelta(days=28) > START and len(whole.holdout) == holdout:
        assert resting.features_from(run) == whole.holdout[0] - timedelta(days=28)


def test_too_little_history_says_up_to_when_labels_are_known() -> None:
    split = calendar(known_after_days=14).split(date(2013, 1, 20), days(START, date(2013, 1, 20)))
    assert split.too_little == "6 of 30 days whose labels are known (up to 2013-01-06)"


def test_split_ignores_later_dates() -> None:
    day = date(2013, 2, 12)
    assert calendar().split(day, days(START, END)) == calendar().split(day, days(START, day))


def test_too_little_history_says_how_much() -> None:
    day = date(2013, 1, 12)
    assert calendar().split(day, days(START, day)).too_little == "12 of 30 days"


def test_nothing_landed() -> None:
    assert calendar().split(START, []).too_little == "0 of 30 days"


@pytest.mark.exhaustive
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


def test_as_of_is_the_next_midnight() -> None:
    assert calendar().as_of(date(2013, 2, 28)) == date(2013, 3, 1)


def test_a_feed_that_rests_has_as_of_where_its_next_date_begins() -> None:
    assert calendar(data_days=WORKDAYS).as_of(FRIDAY) == MONDAY
    assert calendar(data_days=WORKDAYS).as_of(date(2013, 5, 24)) == date(2013, 5, 28)  # over a weekend and a holiday


def test_a_rest_date_is_no_gap_of_the_needed_history() -> None:
    found = calendar(data_days=WORKDAYS, window_days=7, holdout_days=5, lookback_days=3).needed_dates(date(2013, 2, 21))
    holdout = [date(2013, 2, 14), date(2013, 2, 15), *days(date(2013, 2, 19), date(2013, 2, 21))]
    assert found == [*days(date(2013, 2, 4), date(2013, 2, 8)), *days(date(2013, 2, 11), date(2013, 2, 13)), *holdout]


def test_rest_dates_take_nothing_from_the_window() -> None:
    """Holdout in dates that landed, window in calendar days before it: four whole weeks, whatever rests in the holdout."""
    day = date(2013, 2, 28)
    split = calendar(data_days=WORKDAYS, min_days=27).split(day, days(START, day))
    assert split.holdout == (date(2013, 2, 20), date(2013, 2, 21), date(2013, 2, 22), *days(date(2013, 2, 25), day))
    assert (split.window[0], split.window[-1], len(split.window)) == (date(2013, 1, 23), date(2013, 2, 19), 19)
    assert split.too_little == "26 of 27 days"


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.sets(st.dates(START, END), max_size=30),
    st.dates(date(2013, 3, 1), END),
    st.integers(1, 40),
    st.integers(1, 10),
)
@pytest.mark.exhaustive
def test_no_rest_date_is_needed_split_or_waited_for(
    weekdays: set[int], holidays: set[date], day: date, window: int, holdout: int
) -> None:
    resting = DataDays(frozenset(weekdays), frozenset(holidays))
    own = calendar(data_days=resting, window_days=window, holdout_days=holdout, min_days=1)
    day = resting.newest(day)
    needed, featured = own.needed_dates(day), own.feature_dates(day)
    assert needed[-1] == featured[-1] == day
    assert not any(resting.rests(one) for one in needed)
    assert set(featured) <= set(needed)
    split = own.split(day, days(START, END))
    assert {*split.window, *split.holdout} == set(featured)
    assert len(split.holdout) == min(holdout, len(featured))
    assert len(split.window) <= resting.max_within(window)
    assert own.as_of(day) > day
    assert own.dates(day + timedelta(days=1), own.as_of(day)) == [own.as_of(day)]
    assert own.features_from(day) <= featured[0]
    assert resting.before(own.as_of(day), 1) == day


@given(st.sets(st.dates(START, END)), st.dates(START, END), st.integers(1, 40), st.integers(1, 10))
@pytest.mark.exhaustive
def test_a_calendar_of_all_days_is_none(landed: set[date], day: date, window: int, holdout: int) -> None:
    plain = calendar(window_days=window, holdout_days=holdout)
    counted = calendar(window_days=window, holdout_days=holdout, data_days=DataDays(holidays=frozenset({date(2030, 1, 1)})))
    assert counted.needed_dates(day) == plain.needed_dates(day)
    assert counted.split(day, landed) == plain.split(day, landed)
    assert counted.as_of(day) == plain.as_of(day)


@pytest.mark.parametrize(
    ("day", "why", "around"),
    [
        (SATURDAY, "Saturday", "2013-03-08 before and 2013-03-11 after"),
        (date(2013, 5, 27), "a holiday", "2013-05-24 before and 2013-05-28 after"),
    ],
)
def test_a_run_of_a_rest_date_is_refused_with_its_neighbours(day: date, why: str, around: str) -> None:
    with pytest.raises(DateRefusedError, match=rf"{day} is a rest date \({why}\); the nearest dates with data are {around}"):
        _run_date(param=str(day), manual=True, data_days=WORKDAYS)


def test_neighbours_outside_start_and_end_are_not_offered() -> None:
    with pytest.raises(DateRefusedError, match=r"the nearest dates with data are 2013-03-08 before\. Choose"):
        calendar(data_days=WORKDAYS, end=SATURDAY).check_data(SATURDAY)


def test_an_interval_on_a_rest_date_is_refused() -> None:
    with pytest.raises(DateRefusedError, match="2013-03-09 is a rest date"):
        _run_date(interval_start=datetime(2013, 3, 9, 5, tzinfo=UTC), data_days=WORKDAYS)


@pytest.mark.parametrize("monday_hour", [5, 23])
def test_manual_run_without_param_takes_the_newest_date_with_data(monday_hour: int) -> None:
    found = _run_date(manual=True, run_after=datetime(2013, 3, 11, monday_hour, tzinfo=UTC), data_days=WORKDAYS)
    assert found == FRIDAY


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
    data_days: DataDays = EVERY_DAY,
) -> date:
    return calendar(data_days=data_days).run_date(param=param, interval_start=interval_start, run_after=run_after, manual=manual)
