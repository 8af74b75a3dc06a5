"""The timetable: whole local days, in order, until the end, whatever the clocks do."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, date, datetime, timedelta

import pendulum
import pytest
from airflow.models import backfill
from airflow.models.dagrun import DagRun
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.utils.types import DagRunType
from hypothesis import given
from hypothesis import strategies as st

from perennial.calendar import DataDays
from perennial_airflow import timetable as module
from perennial_airflow.timetable import LocalDaysTimetable

NEW_YORK = "America/New_York"
FRIDAY, MONDAY = date(2013, 3, 8), date(2013, 3, 11)
WORKDAYS = DataDays(frozenset(range(5)), frozenset({date(2013, 3, 12)}))


def restriction(earliest: datetime | None, *, catchup: bool = True, latest: datetime | None = None) -> TimeRestriction:
    return TimeRestriction(earliest and pendulum.instance(earliest), latest and pendulum.instance(latest), catchup)


def days(timetable: LocalDaysTimetable, first: datetime, count: int) -> list[DataInterval]:
    """Return the first `count` data intervals from `first` on, as a backfill asks for them: one after the other."""
    found: list[DataInterval] = []
    last = None
    for _ in range(count):
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction(first))
        if info is None:
            break
        assert info.run_after.timestamp() == info.data_interval.start.timestamp()
        found.append(info.data_interval)
        last = info.data_interval
    return found


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):
    def set_clock(text: str) -> None:
        monkeypatch.setattr(module.timezone, "utcnow", lambda: pendulum.instance(datetime.fromisoformat(text)))

    return set_clock


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        pytest.param(NEW_YORK, "2013-03-09T05:00Z", [24, 23, 24], id="clocks go forward"),
        pytest.param(NEW_YORK, "2013-11-02T04:00Z", [24, 25, 24], id="clocks go back"),
        pytest.param("America/Sao_Paulo", "2018-11-03T03:00Z", [24, 23, 24], id="midnight does not exist"),
        pytest.param("America/Havana", "2018-11-03T04:00Z", [24, 25, 24], id="clocks go back to midnight"),
        pytest.param("Asia/Kolkata", "2024-01-01T18:30Z", [24, 24, 24], id="half an hour off"),
        pytest.param("UTC", "2024-02-28T00:00Z", [24, 24, 24], id="leap day"),
    ],
)
def test_interval_is_the_whole_local_day(zone: str, first: str, hours: list[int]) -> None:
    intervals = days(LocalDaysTimetable(zone), datetime.fromisoformat(first), 3)

    assert [(i.end - i.start).total_seconds() / 3600 for i in intervals] == hours
    assert [a.end for a in intervals[:-1]] == [b.start for b in intervals[1:]]
    assert [i.start.in_timezone(zone).date() for i in intervals] == [
        intervals[0].start.in_timezone(zone).date() + timedelta(days=n) for n in range(3)
    ]


ZONES = [NEW_YORK, "America/Sao_Paulo", "America/Havana", "Asia/Kolkata", "Pacific/Apia", "Pacific/Kiritimati", "UTC"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_scheduled_run_and_a_run_of_a_backfill_bear_the_date_of_their_data(zone: str) -> None:
    timetable = LocalDaysTimetable(zone)
    first = date(2018, 11, 1)
    intervals = days(timetable, module.midnight(first, module.ZoneInfo(zone)), 6)
    for day, interval in zip((first + timedelta(days=n) for n in range(6)), intervals, strict=True):
        scheduled = {
            "run_type": DagRunType.SCHEDULED,
            "run_after": interval.end,
            "data_interval": interval,
            "partition_key": None,
        }
        assert timetable.generate_run_id(**scheduled) == f"scheduled__{day}"
        only = restriction(interval.start, latest=interval.start)
        info = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=only)
        # As airflow.models.backfill does; the timetable is not asked there.
        made = DagRun.generate_run_id(run_type=DagRunType.BACKFILL_JOB, logical_date=info.logical_date, run_after=info.run_after)
        assert made.startswith(f"backfill__{day}T")


def test_airflow_names_the_runs_of_a_backfill_by_their_run_after() -> None:
    assert "run_type=DagRunType.BACKFILL_JOB, logical_date=info.logical_date, run_after=info.run_after" in inspect.getsource(
        backfill
    )


def test_a_manual_run_bears_no_date_that_may_not_be_that_of_its_data() -> None:
    asked = pendulum.datetime(2026, 11, 28, 12)
    timetable = LocalDaysTimetable(NEW_YORK)
    interval = timetable.infer_manual_data_interval(run_after=asked)
    for known in (interval, None):
        found = timetable.generate_run_id(run_type=DagRunType.MANUAL, run_after=asked, data_interval=known)
        assert found == "manual__2026-11-28T12:00:00+00:00"


def test_first_day_is_the_first_that_begins_at_the_start_or_later() -> None:
    (first,) = days(LocalDaysTimetable(NEW_YORK), datetime(2013, 1, 1, 12, tzinfo=UTC), 1)

    assert first.start == datetime(2013, 1, 2, 5, tzinfo=UTC)


def test_last_day_is_the_end() -> None:
    intervals = days(LocalDaysTimetable(NEW_YORK, date(2013, 12, 31)), datetime(2013, 12, 30, 5, tzinfo=UTC), 9)

    assert [i.start.in_timezone(NEW_YORK).date() for i in intervals] == [date(2013, 12, 30), date(2013, 12, 31)]


def test_no_run_after_the_latest_of_the_dag() -> None:
    latest = datetime(2013, 1, 1, 5, tzinfo=UTC)
    timetable = LocalDaysTimetable(NEW_YORK)

    assert timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction(latest, latest=latest))
    later = restriction(latest + timedelta(seconds=1), latest=latest)
    assert timetable.next_dagrun_info(last_automated_data_interval=None, restriction=later) is None


def test_without_catchup_the_last_complete_day_runs_first(at) -> None:
    at("2013-02-14T12:00:00+00:00")
    start = restriction(datetime(2013, 1, 1, 5, tzinfo=UTC), catchup=False)

    info = LocalDaysTimetable(NEW_YORK).next_dagrun_info(last_automated_data_interval=None, restriction=start)

    assert info is not None
    assert info.logical_date == datetime(2013, 2, 13, 5, tzinfo=UTC)


def test_without_catchup_yesterday_runs_once(at) -> None:
    at("2013-02-14T12:00:00+00:00")
    start = restriction(datetime(2013, 1, 1, 5, tzinfo=UTC), catchup=False)
    timetable = LocalDaysTimetable(NEW_YORK)
    first = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=start)

    second = timetable.next_dagrun_info(last_automated_data_interval=first.data_interval, restriction=start)

    assert second.run_after == datetime(2013, 2, 15, 5, tzinfo=UTC)


def test_data_that_ended_long_ago_is_never_scheduled(at) -> None:
    at("2026-11-23T12:00:00+00:00")
    start = restriction(datetime(2013, 1, 1, 5, tzinfo=UTC), catchup=False)

    timetable = LocalDaysTimetable(NEW_YORK, date(2013, 12, 31))

    assert timetable.next_dagrun_info(last_automated_data_interval=None, restriction=start) is None


def test_last_run_of_another_schedule_is_followed_by_the_next_whole_day() -> None:
    noon = pendulum.datetime(2024, 1, 1, 12)
    info = LocalDaysTimetable("UTC").next_dagrun_info(
        last_automated_data_interval=DataInterval(noon, noon.add(hours=1)),
        restriction=restriction(datetime(2023, 1, 1, tzinfo=UTC)),
    )

    assert info is not None
    assert info.logical_date == datetime(2024, 1, 2, tzinfo=UTC)


def test_no_earliest_and_no_run_yet_means_no_run() -> None:
    assert LocalDaysTimetable("UTC").next_dagrun_info(last_automated_data_interval=None, restriction=restriction(None)) is None


@pytest.mark.parametrize(
    ("zone", "weekdays", "first", "expected"),
    [
        pytest.param(
            NEW_YORK, {4, 0}, "2013-03-08T05:00Z", [("03-08", 24), ("03-11", 24)], id="clocks go forward at the weekend"
        ),
        pytest.param(NEW_YORK, {5, 6}, "2013-03-09T05:00Z", [("03-09", 24), ("03-10", 23)], id="only weekends have data"),
        pytest.param(NEW_YORK, {6}, "2013-11-01T04:00Z", [("11-03", 25), ("11-10", 24)], id="clocks go back"),
        pytest.param("America/Sao_Paulo", {4, 0}, "2018-11-02T03:00Z", [("11-02", 24), ("11-05", 24)], id="no midnight at rest"),
        pytest.param("America/Sao_Paulo", {6}, "2018-11-02T03:00Z", [("11-04", 23), ("11-11", 24)], id="midnight does not exist"),
    ],
)
def test_rest_days_have_no_interval(zone: str, weekdays: set[int], first: str, expected: list[tuple[str, int]]) -> None:
    """Case 34. The run of Friday comes at Saturday's midnight, the next interval begins on Monday."""
    timetable = LocalDaysTimetable(zone, None, DataDays(frozenset(weekdays)))

    intervals = days(timetable, datetime.fromisoformat(first), 2)

    found = [(i.start.in_timezone(zone).format("MM-DD"), (i.end - i.start).total_seconds() / 3600) for i in intervals]
    assert found == expected


@given(
    st.sampled_from([NEW_YORK, "America/Sao_Paulo", "America/Havana", "Asia/Kolkata", "Pacific/Apia"]),
    st.sets(st.integers(0, 6), min_size=1),
    st.sets(st.dates(date(2018, 1, 1), date(2018, 12, 31)), max_size=40),
    st.dates(date(2018, 1, 1), date(2018, 12, 1)),
)
def test_runs_are_exactly_those_of_the_dates_with_data(zone: str, weekdays: set[int], holidays: set[date], first: date) -> None:
    data_days, end = DataDays(frozenset(weekdays), frozenset(holidays)), first + timedelta(days=30)

    intervals = days(LocalDaysTimetable(zone, end, data_days), module.midnight(first, module.ZoneInfo(zone)), 40)

    assert [i.start.in_timezone(zone).date() for i in intervals] == data_days.dates(first, end)


def test_a_backfill_passes_over_rest_days() -> None:
    """Airflow asks for the intervals from the first date on until one begins after the last."""
    timetable, zone = LocalDaysTimetable(NEW_YORK, None, WORKDAYS), module.ZoneInfo(NEW_YORK)
    found, last = [], None
    while info := timetable.next_dagrun_info(
        last_automated_data_interval=last,
        restriction=restriction(module.midnight(FRIDAY, zone), latest=module.midnight(date(2013, 3, 16), zone)),
    ):
        found.append(info.data_interval.start.in_timezone(NEW_YORK).date())
        last = info.data_interval

    assert found == [FRIDAY, MONDAY, date(2013, 3, 13), date(2013, 3, 14), date(2013, 3, 15)]


@pytest.mark.parametrize(
    ("now", "last", "expected"),
    [
        ("2013-03-09T05:00:01", None, FRIDAY),  # the moment that Friday ends
        ("2013-03-10T12:00", None, FRIDAY),  # Sunday: the last complete day with data
        ("2013-03-11T12:00", None, FRIDAY),  # Monday: it has not ended
        ("2013-03-09T12:00", FRIDAY, MONDAY),
        ("2013-03-11T12:00", date(2013, 3, 6), FRIDAY),  # away since Thursday: that one is left out, as without rest days
        ("2013-03-12T12:00", date(2013, 3, 7), MONDAY),
        ("2013-03-13T12:00", date(2013, 3, 7), MONDAY),  # the 12th is a holiday
        ("2013-03-13T12:00", MONDAY, date(2013, 3, 13)),
    ],
)
def test_without_catchup_the_last_complete_day_with_data_runs_once(at, now: str, last: date | None, expected: date) -> None:
    at(f"{now}+00:00")
    timetable = LocalDaysTimetable(NEW_YORK, None, WORKDAYS)

    info = timetable.next_dagrun_info(
        last_automated_data_interval=last and timetable._interval(last),
        restriction=restriction(datetime(2013, 1, 1, 5, tzinfo=UTC), catchup=False),
    )

    assert info is not None
    assert info.data_interval == timetable._interval(expected)
    assert info.run_after == info.data_interval.end


def test_manual_run_at_the_weekend_covers_friday() -> None:
    timetable = LocalDaysTimetable(NEW_YORK, None, WORKDAYS)
    for instant in (pendulum.datetime(2013, 3, 9, 5), pendulum.datetime(2013, 3, 12, 3, 59)):
        assert timetable.infer_manual_data_interval(run_after=instant) == timetable._interval(FRIDAY)


def test_manual_run_covers_the_local_day_before() -> None:
    interval = LocalDaysTimetable(NEW_YORK).infer_manual_data_interval(run_after=pendulum.datetime(2013, 3, 11, 4, 30))

    assert (interval.start, interval.end) == (datetime(2013, 3, 10, 5, tzinfo=UTC), datetime(2013, 3, 11, 4, tzinfo=UTC))


@pytest.mark.parametrize("end", [None, date(2013, 12, 31)])
def test_survives_serialisation(end: date | None) -> None:
    timetable = LocalDaysTimetable(NEW_YORK, end)

    again = LocalDaysTimetable.deserialize(timetable.serialize())

    assert (again.time_zone, again.end, again.summary, again.description) == (
        NEW_YORK,
        end,
        timetable.summary,
        timetable.description,
    )


def test_rest_days_survive_serialisation() -> None:
    timetable = LocalDaysTimetable(NEW_YORK, None, WORKDAYS)

    again = LocalDaysTimetable.deserialize(json.loads(json.dumps(timetable.serialize())))

    assert (again.data_days, again.summary) == (WORKDAYS, "on days with data, America/New_York")
    assert again.description == timetable.description == "Every local day of America/New_York that has data"


def test_a_daily_feed_is_stored_as_before() -> None:
    assert LocalDaysTimetable(NEW_YORK).serialize() == {"time_zone": NEW_YORK, "end": None}
