"""
A feed that rests at weekends and on holidays, on a real object store (case 34).

A rest date is no gap and gets no run, and nothing that lands on it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from clean_keys import clean_keys
from lab import MACHINES, FixedTables, Lab, rate
from steps import decide

from perennial.analyse.plan import _wanted, finish_analyse, plan_analyse, unanalysed_days
from perennial.backfill.batch import last_ahead, split_batches
from perennial.backfill.plan import plan_history
from perennial.calendar import days
from perennial.clean.plan import finish_clean, plan_clean
from perennial.cli import run_command
from perennial.collect.collect import collect
from perennial.collect.drops import complete_dates, landed_at_rest, landed_drops, latest_complete, newest_landed
from perennial.commands.arguments import day_of
from perennial.config.calendar import FeedCalendar
from perennial.config.pipeline import Pipeline
from perennial.deploy.lookups import freeze
from perennial.deploy.newest import is_newest, later_drops, newest_to_run
from perennial.deploy.release import plan_release
from perennial.errors import DateRefusedError, DropRefusedError
from perennial.evaluate.chain import Chain, Entry, enter
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.freshness.stale import Status, stale_dates, to_json
from perennial.lake.lake import Lake
from perennial.lake.tables import Partition, TableState
from perennial.train.history import split_of, untrainable_dates

WORKDAYS: Any = {"weekdays": ["mon", "tue", "wed", "thu", "fri"]}
START, WEDNESDAY, FRIDAY, SATURDAY, SUNDAY, MONDAY = (date(2026, 3, day) for day in (1, 4, 6, 7, 8, 9))
LAST = date(2026, 3, 13)
LOOKUP = """
SELECT d.as_of, r.machine, AVG(r.temperature) AS heat
FROM dates d JOIN readings r ON r.date >= DATE_SUB(d.as_of, 2) AND r.date < d.as_of
GROUP BY ALL
"""


def with_calendar(lake: Lake, **calendar: Any) -> Lake:
    """Return the lake as it is after an edit of the pipeline's calendar."""
    return replace(lake, pipeline=lake.pipeline.model_copy(update={"feed": FeedCalendar.model_validate(calendar)}))


@pytest.fixture
def lake(s3: Any, pipeline_factory: Callable[..., Pipeline], tmp_path: Any) -> Lake:
    """Return the lake of machine_faults with a lookup, four days of window, two of holdout, and no data at weekends."""

    def edit(document: dict[str, Any]) -> None:
        document["calendar"] = WORKDAYS
        document["training"] |= {"lookback_days": 2, "min_days": 4}
        document["inputs"]["lookups"] = {"machine_heat": {"key": ["machine"], "values": ["heat"]}}
        folder = tmp_path / "pipelines" / "machine_faults" / "lookups"
        folder.mkdir(exist_ok=True)
        (folder / "machine_heat.sql").write_text(LOOKUP)

    found: Lake = s3.open_lake(pipeline_factory(edit))
    return found


@pytest.fixture
def land(lake: Lake, s3: Any, land_drops: Any) -> Callable[[date, date], None]:
    return lambda first, last: land_drops(s3.put, lake.pipeline, first, last)


def filled(lake: Lake, first: date, last: date) -> Lake:
    """Return the lake after runs of `first` to `last`: the partitions that they would leave, decided dates, no rows."""
    own = replace(lake, tables=FixedTables())  # type: ignore[arg-type]
    for day in own.pipeline.calendar.dates(first, last):
        collect(own, day)
    keys = clean_keys(own, "readings", first, last)
    clean = {str(day): Partition(key, f"of {day}", 200) for day, key in keys.items()}
    states: dict[str, TableState] = own.tables.states  # type: ignore[attr-defined]
    states["clean_readings"] = TableState("clean_readings", "s3://x/meta", 1, clean)
    for table, keys in _wanted(own, first, last, {"readings": states["clean_readings"]}).items():
        partitions = {text: Partition(key, f"{table} of {text}", 200) for text, key in keys.items()}
        states[table] = TableState(table, "s3://x/meta", 1, partitions)
    return own


def decided(lake: Lake, dates: list[date]) -> None:
    """Enter a decision of each date."""

    def change(chain: Chain) -> Chain:
        for day in dates:
            entry = Entry("HOLD", f"s3://x/{day}", "key", None, None, None, False, "run", "2026-03-20T00:00:00+00:00")
            chain = enter(chain, day, entry)
        return chain

    update_chain(lake, change)


def planned(lake: Lake, day: date) -> tuple[list[str], list[str]]:
    """Return what a run of `day` would clean and what it would withdraw."""
    (table,) = lake.objects.read_existing(str(plan_clean(lake, day).job_uri)).json()["tables"]
    return sorted(table["days"]), table["withdraw"]


def test_a_weekend_is_no_gap(lake: Lake, land: Any) -> None:
    land(WEDNESDAY, FRIDAY)
    land(MONDAY, MONDAY)
    facts = collect(lake, MONDAY)
    assert (facts.pinned, facts.at_rest) == (4, [])
    assert facts.gaps == {"2026-03-02": "readings: not landed", "2026-03-03": "readings: not landed"}


def test_what_lands_on_a_rest_date_is_named_and_not_used(lake: Lake, land: Any, caplog: pytest.LogCaptureFixture) -> None:
    land(START, MONDAY)
    facts = collect(lake, MONDAY)
    assert (facts.gaps, facts.at_rest) == ({}, ["2026-03-01", "2026-03-07", "2026-03-08"])
    assert "Landed on rest dates, not used: 2026-03-01, 2026-03-07, 2026-03-08" in caplog.text
    assert landed_at_rest(lake, WEDNESDAY, MONDAY) == [SATURDAY, SUNDAY]
    assert complete_dates(lake, days(FRIDAY, MONDAY)) == {FRIDAY, MONDAY}
    assert newest_landed(lake, "readings", SUNDAY) == latest_complete(lake, SUNDAY) == FRIDAY
    assert landed_drops(lake, "readings", [SATURDAY])[SATURDAY].drop is None  # nothing of it is pinned
    lake = replace(lake, tables=FixedTables())  # type: ignore[arg-type]
    assert planned(lake, MONDAY) == ([f"2026-03-0{day}" for day in (2, 3, 4, 5, 6, 9)], [])


def test_a_run_of_a_rest_date_is_refused(lake: Lake, land: Any) -> None:
    land(START, MONDAY)
    text = "2026-03-07 is a rest date .Saturday.; the nearest dates with data are 2026-03-06 before and 2026-03-09 after"
    with pytest.raises(DateRefusedError, match=text):
        day_of(lake.pipeline, "2026-03-07")  # of `run` and `land`
    with pytest.raises(DateRefusedError, match=text):
        collect(lake, SATURDAY)


def test_without_a_date_a_run_on_monday_morning_is_fridays(lake: Lake, land: Any) -> None:
    now = datetime(2026, 3, 9, 8, tzinfo=UTC)
    calendar = lake.pipeline.calendar
    asked = calendar.run_date(param=None, interval_start=None, run_after=now, manual=True)
    assert newest_to_run(lake, asked, now) == FRIDAY
    land(WEDNESDAY, date(2026, 3, 5))
    land(SATURDAY, SUNDAY)
    assert newest_to_run(lake, asked, now) == date(2026, 3, 5)  # Friday's deadline was on Saturday


def test_lookups_of_friday_are_those_that_mondays_features_join(lake: Lake, land: Any) -> None:
    land(START, MONDAY)
    own = filled(lake, MONDAY, MONDAY)
    clean = {"readings": own.tables.state("clean_readings")}
    of_friday, of_monday = (_wanted(own, day, day, clean)["lookup_machine_heat"] for day in (FRIDAY, MONDAY))
    assert max(of_friday) == "2026-03-09"
    assert "2026-03-07" not in of_friday
    assert of_friday["2026-03-09"] == of_monday["2026-03-09"]
    assert finish_analyse(own, MONDAY).feature_dates == 6
    assert split_of(own, MONDAY).holdout == (FRIDAY, MONDAY)


def wanted(lake: Lake) -> dict[str, dict[str, str]]:
    """Return the key of each partition that a run of LAST needs."""
    return _wanted(lake, LAST, LAST, {"readings": lake.tables.state("clean_readings")})


def test_a_date_that_rests_by_now_is_withdrawn_and_what_saw_it_is_made_again(lake: Lake, land: Any) -> None:
    """Data landed on all days and was used; then the calendar says that weekends rest."""
    land(START, LAST)
    before = filled(with_calendar(lake), LAST, LAST)
    after = with_calendar(before, **WORKDAYS)
    collect(after, LAST)
    assert planned(after, LAST) == ([], ["2026-03-07", "2026-03-08"])
    clean = before.tables.state("clean_readings").partitions
    kept = {text: one for text, one in clean.items() if text not in ("2026-03-07", "2026-03-08")}
    states = {**before.tables.states, "clean_readings": TableState("clean_readings", "s3://x/meta", 2, kept)}  # type: ignore[attr-defined]
    withdrawn = replace(after, tables=FixedTables(states))  # type: ignore[arg-type]
    assert finish_clean(withdrawn, LAST).gaps == {}
    redone = unanalysed_days(withdrawn, LAST, LAST)
    # Features see two days back: those of the 9th and the 10th saw the weekend. Those of Sunday, which began the window, go.
    assert redone["features"] == {SUNDAY, MONDAY, date(2026, 3, 10)}
    assert plan_analyse(withdrawn, LAST).job_uri is not None
    fresh = filled(with_calendar(lake, **WORKDAYS), LAST, LAST)
    assert wanted(withdrawn) == wanted(fresh)  # as in a lake that had this calendar from the start
    assert split_of(withdrawn, LAST).holdout == (date(2026, 3, 12), LAST)


@pytest.fixture
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every decision rest on its models: these tests are about data."""
    monkeypatch.setattr("perennial.evaluate.recorded.is_current", lambda lake, day: True)


def concerned(lake: Lake, dates: list[date], changed: set[date]) -> list[date]:
    """Return the dates within whose reach one of the changed days lies."""
    calendar = lake.pipeline.calendar
    return [day for day in dates if any(calendar.needed_from(day) <= one <= day for one in changed)]


def test_a_new_holiday_makes_exactly_the_dates_stale_that_saw_it(lake: Lake, land: Any, nothing_else: None) -> None:
    land(START, date(2026, 4, 10))
    begin, end = date(2026, 3, 16), date(2026, 4, 10)
    own = filled(lake, begin, end)
    dates = own.pipeline.calendar.dates(begin, end)
    decided(own, dates)
    assert stale_dates(own) == {}

    holiday = date(2026, 3, 25)
    edited = with_calendar(own, **WORKDAYS, holidays=["2026-03-25", "2026-03-28", "1999-01-01"])
    found = stale_dates(edited)

    assert list(found) == concerned(edited, dates, {holiday})
    assert {day for day, one in found.items() if one.is_blocked} == {holiday}
    assert found[holiday].reason == "it is a rest date now: no run judges it again"
    assert stale_dates(with_calendar(own, **WORKDAYS, holidays=["2026-05-01"])) == {}


def test_a_decided_date_whose_history_no_longer_suffices_is_stale_and_blocked(lake: Lake, land: Any, nothing_else: None) -> None:
    """It keeps its decision, so it is named; a run would skip it, so no backfill tries it again and again."""
    land(START, LAST)
    begin = date(2026, 3, 5)
    own = filled(lake, begin, LAST)
    decided(own, own.pipeline.calendar.dates(begin, LAST))
    assert stale_dates(own) == {}

    training = own.pipeline.training.model_copy(update={"min_days": 5})
    found = stale_dates(replace(own, pipeline=own.pipeline.model_copy(update={"training": training})))
    short = [begin, *days(date(2026, 3, 10), date(2026, 3, 12))]
    told = {day: (one.status, one.reason) for day, one in found.items()}
    assert told == dict.fromkeys(short, (Status.BLOCKED, "its history is no longer sufficient: 4 of 5 days"))
    assert [one["changes"] for one in to_json(found)] == [[]] * len(short)


def test_a_decided_date_whose_history_is_refused_by_now_is_blocked(lake: Lake, land: Any, s3: Any, nothing_else: None) -> None:
    """A refused drop is a gap, also while the tables still hold its earlier rows: the next run withdraws them."""
    land(START, LAST)
    begin = date(2026, 3, 10)  # it trains on exactly the four days that it needs
    own = filled(lake, begin, LAST)
    dates = own.pipeline.calendar.dates(begin, LAST)
    decided(own, dates)
    assert stale_dates(own) == {}

    folder = own.pipeline.sources["readings"].drop_uri(FRIDAY)
    s3.put(folder + "readings-1.csv", b"half")
    s3.put(folder + "_MANIFEST.json", own.objects.read_existing(folder + "_MANIFEST.json").body + b" ")
    with pytest.raises(DropRefusedError):
        collect(own, FRIDAY)
    assert own.tables.state("features").get(FRIDAY) is not None

    reasons = {day: state.reason for day, state in stale_dates(own).items() if state.is_blocked}
    assert reasons == dict.fromkeys(untrainable_dates(own, dates), "its history is no longer sufficient: 3 of 4 days")
    assert begin in reasons


def test_a_rest_date_that_gets_data_makes_exactly_the_later_dates_stale(lake: Lake, land: Any, nothing_else: None) -> None:
    land(START, date(2026, 4, 10))
    begin, end = date(2026, 3, 16), date(2026, 4, 10)
    holiday = date(2026, 3, 25)
    own = filled(with_calendar(lake, **WORKDAYS, holidays=["2026-03-25"]), begin, end)
    dates = own.pipeline.calendar.dates(begin, end)
    decided(own, dates)
    assert stale_dates(own) == {}

    found = stale_dates(with_calendar(own, **WORKDAYS))

    eve = date(2026, 3, 24)  # its release would carry the lookups of the 25th's midnight now
    assert list(found) == [eve, *concerned(with_calendar(own, **WORKDAYS), dates, {holiday})]
    assert found[eve].reason == "lookup_machine_heat of 2026-03-25 has changed"
    assert not any(one.is_blocked for one in found.values())


def test_a_backfill_passes_over_rest_dates_and_counts_them(lake: Lake, land: Any) -> None:
    land(START, date(2026, 3, 10))
    own = replace(lake, tables=FixedTables())  # type: ignore[arg-type]
    plan = plan_history(own, WEDNESDAY, date(2026, 3, 11))
    assert (plan.rest, len(plan.dates)) == (2, 6)
    assert plan.missing == (date(2026, 3, 11),)
    assert plan.batches == ((WEDNESDAY, date(2026, 3, 10)),)  # one batch, the weekend does not cut it
    assert (plan.to_json()["rest"], plan.deploys) == (2, date(2026, 3, 10))
    assert plan_history(own, SATURDAY, MONDAY).dates == (MONDAY,)
    with pytest.raises(
        DateRefusedError, match=r"2026-03-07 to 2026-03-08 are rest dates; the nearest .* 2026-03-06 before and 2026-03-09"
    ):
        plan_history(own, SATURDAY, SUNDAY)
    with pytest.raises(DateRefusedError, match="2026-03-08 is a rest date"):
        plan_history(own, SUNDAY, SUNDAY)


def test_work_ahead_goes_on_over_rest_dates(lake: Lake, land: Any) -> None:
    land(WEDNESDAY, date(2026, 3, 11))
    assert last_ahead(lake, WEDNESDAY, LAST) == date(2026, 3, 11)
    assert last_ahead(lake, WEDNESDAY, SUNDAY) == FRIDAY
    calendar = lake.pipeline.calendar
    dates = calendar.dates(START, date(2026, 8, 31))
    found = split_batches(calendar, [day for day in dates if day != date(2026, 3, 18)])
    assert [len(one) for one in found] == [12, 60, len(dates) - 73]


def test_a_drop_on_a_rest_date_keeps_no_release_back(lab: Lab, s3: Any, land_drops: Any) -> None:
    own = with_calendar(lab.lake, **WORKDAYS)
    friday, sunday, monday = (day + timedelta(days=7) for day in (FRIDAY, SUNDAY, MONDAY))
    land_drops(s3.put, lab.pipeline, friday, sunday)
    assert is_newest(own, Chain(), friday)
    land_drops(s3.put, lab.pipeline, monday, monday)
    assert not is_newest(own, Chain(), friday)
    assert later_drops(own, Chain(), friday).waiting == monday


def test_a_release_before_a_rest_date_carries_the_lookups_of_the_date_after_it(lab: Lab) -> None:
    """The features of that date join the same, so its requests get what training saw."""
    day, after = date(2026, 3, 11), date(2026, 3, 13)
    decide(lab, day)
    own, chain = with_calendar(lab.lake, holidays=["2026-03-12"]), read_chain(lab.lake)
    champion = chain.entries[day.isoformat()].champion
    assert champion is not None
    plan, daily = (plan_release(lake, chain, day, champion) for lake in (own, lab.lake))
    assert (plan.as_of, daily.as_of) == (after, date(2026, 3, 12))
    assert plan.id != daily.id
    lookup = freeze(plan.lookups["machine_rates"], plan.as_of, plan.inputs.lookups["machine_rates"])
    assert lookup.document()["rows"] == [[name, rate(name, after)] for name in MACHINES]


def test_status_names_what_landed_on_a_rest_date(
    lake: Lake, land: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    land(FRIDAY, SUNDAY)
    assert run_command(["status"]) == 0
    told = capsys.readouterr().out
    assert "2026-03-07, 2026-03-08: landed on rest dates, not used" in told
    assert "readings 2026-03-06 (newest)" in told
    assert run_command(["run", "--date", "2026-03-07"]) == 1
    assert "2026-03-07 is a rest date (Saturday); the nearest dates with data are 2026-03-06" in capsys.readouterr().err
