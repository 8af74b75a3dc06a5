"""
History: a backfill through Airflow trains and judges past dates exactly, and releases the newest alone.

All tests share one history. Fixtures of the module change its decisions, and each takes the one before it:
`first`, `forced`, `rejected`, `corrected`.
The tests of these fixtures only assert. Every other test leaves the history as it found it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import outcome
import pytest
from command_line import in_a_shell, perennial

from perennial.calendar import DAY, days, midnight
from perennial.deploy.rollback import list_releases
from perennial.evaluate.chain import Chain, Entry
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.lake.tables import read_rows

pytestmark = pytest.mark.timeout(1800)

PIPELINE = "machine_faults_history"
DAG = f"retrain_{PIPELINE}"
LANDED, FIRST, LAST = date(2026, 3, 1), date(2026, 3, 5), date(2026, 3, 18)


def backfill(*words: str, last: date = LAST, run: Callable[..., dict[str, Any]] = perennial) -> dict[str, Any]:
    return run("backfill", PIPELINE, "--from", FIRST.isoformat(), "--to", last.isoformat(), *words)


def backfill_by_airflow(stack, lake: Lake, first: date, last: date, conf: dict[str, str], runs_at_once: int) -> None:
    """Run a range as Airflow's own dialogue does."""
    begin, end = (midnight(day, lake.pipeline.calendar.time_zone) for day in (first, last))
    stack.wait_for(lambda: stack.airflow.open_backfill(DAG) is None, 120)  # one that has ended is seen twice a minute
    one = stack.airflow.backfill(DAG, begin, end, conf, reprocess="completed", runs_at_once=runs_at_once)
    stack.wait_for(lambda: stack.airflow.backfill_is_done(one), 600)
    assert stack.airflow.count_runs(DAG, begin, end, "success") == len(list(days(first, last)))


def contents(lake: Lake) -> tuple[list[str], dict[str, int | None]]:
    """Return every object of the pipeline, and the snapshot of each of its tables."""
    names = [f"clean_{name}" for name in lake.pipeline.tables] + ["features", "profile"]
    root = lake.layout.release("x").partition("/releases/")[0]
    return sorted(lake.objects.list(root)), {name: lake.tables.state(name).snapshot_id for name in names}


def correct(lake: Lake, stack, day: date) -> None:
    """Land another drop in the place of one: some rows fewer."""
    data = stack.generator
    folder = lake.pipeline.sources[data.SOURCE].drop_uri(day)
    for uri in list(lake.objects.list(folder)):
        lake.objects.delete(uri)
    files = {"corrected.csv": data.csv_bytes(data.rows(day)[:-7])}
    for name, body in {**files, "_MANIFEST.json": data.manifest(day, files)}.items():
        stack.put(lake, folder + name, body)


@pytest.fixture(scope="module")
def lake(stack) -> Lake:
    stack.airflow.wait_for_dag(DAG)
    stack.land(PIPELINE, LANDED, LAST)
    return stack.lake(PIPELINE)


@dataclass(frozen=True, slots=True)
class First:
    """The first backfill: its plan and result, what was there after it, and what a plan of more dates says then."""

    planned: dict[str, Any]
    result: dict[str, Any]
    decided_before: list[date]
    decided: list[date]
    released: list[str]
    settled: dict[str, Any]
    tasks: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def first(lake: Lake, stack) -> First:
    planned, decided_before = backfill("--plan")["plan"], read_chain(lake).days
    result = backfill(run=in_a_shell)["result"]
    more = perennial("backfill", PIPELINE, "--from", LANDED.isoformat(), "--to", LAST.isoformat(), "--plan")
    ran = {run["logical_date"][:10]: run["dag_run_id"] for run in stack.airflow.runs(DAG)}
    tasks = {day: {task.task: task.state for task in stack.airflow.tasks(DAG, run_id)} for day, run_id in ran.items()}
    return First(planned, result, decided_before, read_chain(lake).days, released(lake), more["plan"], tasks)


def released(lake: Lake) -> list[str]:
    """Return the dates of all releases."""
    return [one.date for one in list_releases(lake)]


def test_a_plan_tells_what_is_to_be_done(first: First) -> None:
    assert first.planned["chunks"] == [[FIRST.isoformat(), LAST.isoformat()]]
    assert (first.planned["unchanged"], first.planned["missing"], first.planned["deploys"]) == (0, [], LAST.isoformat())
    assert first.decided_before == []


def test_every_date_is_decided_and_the_newest_alone_is_released(first: First) -> None:
    assert (first.result["dates"], first.result["failed"], first.result["stale"]) == (14, [], 0)
    assert sum(first.result["decisions"].values()) == 14
    assert first.decided == list(days(FIRST, LAST))
    assert first.released == [LAST.isoformat()]


def test_a_plan_tells_what_is_settled(first: First) -> None:
    settled = first.settled
    assert (settled["unchanged"], settled["young"], settled["stale"], settled["chunks"]) == (14, 4, [], [])


def test_the_dates_after_the_first_take_one_task(first: First) -> None:
    worked = {day for day, states in first.tasks.items() if states["clean"] == "success"}
    assert worked == {FIRST.isoformat(), LAST.isoformat()}
    assert len(first.tasks) == 14
    for day in first.tasks.keys() - worked:
        assert {task for task, state in first.tasks[day].items() if state != "skipped"} == {"plan_run"}


def test_a_date_alone_gives_what_it_gave_among_the_others(first: First, lake: Lake) -> None:
    before = outcome.contents(lake.at_one_moment(), days(FIRST, LAST))
    # A result that differs is refused.
    perennial("run", PIPELINE, "--date", "2026-03-11", "--recompute")
    assert outcome.contents(lake.at_one_moment(), days(FIRST, LAST)) == before


def test_again_it_writes_nothing(first: First, lake: Lake) -> None:
    before = contents(lake)
    assert backfill()["result"]["failed"] == []
    assert contents(lake) == before


def test_a_backfill_from_airflow_itself_is_as_safe(first: First, lake: Lake, stack) -> None:
    before = contents(lake)
    backfill_by_airflow(stack, lake, LAST - 5 * DAY, LAST, {}, runs_at_once=3)
    assert contents(lake) == before


@pytest.mark.parametrize("day", [FIRST, date(2026, 3, 11)])
def test_clearing_tasks_of_an_old_run_by_hand_is_as_safe(first: First, lake: Lake, stack, day: date) -> None:
    """One whose run has worked, and one whose tasks were skipped because its work was done."""
    before, instant = contents(lake), midnight(day, lake.pipeline.calendar.time_zone)
    (run,) = [run for run in stack.airflow.runs(DAG) if datetime.fromisoformat(run["logical_date"]) == instant]
    tasks = [task.task for task in stack.airflow.tasks(DAG, run["dag_run_id"])]
    for cleared in (["deploy"], ["evaluate"], ["analyse", "train", "evaluate", "deploy"], tasks):
        stack.airflow.clear(DAG, run["dag_run_id"], cleared)
        assert stack.airflow.wait(DAG, run["dag_run_id"], 300)[0] == "success", cleared
    assert contents(lake) == before


FORCE = {"decision": "HOLD", "reason": "a lesson for two dates"}


@dataclass(frozen=True, slots=True)
class Forced:
    """Two dates that ran before, decided again by a backfill with params."""

    bodies: list[dict[str, Any]]
    stale: list[bool]


@pytest.fixture(scope="module")
def forced(first: First, lake: Lake, stack) -> Forced:
    """It may leave later dates stale; `rejected` makes these again."""
    dates = [date(2026, 3, 10), date(2026, 3, 11)]
    conf = {f"force_{key}": value for key, value in FORCE.items()}
    backfill_by_airflow(stack, lake, *dates, conf, runs_at_once=2)
    entries = [read_chain(lake).entries[day.isoformat()] for day in dates]
    return Forced([lake.objects.read_existing(entry.uri).json() for entry in entries], [entry.stale for entry in entries])


def test_params_of_a_backfill_hold_for_dates_that_ran_before(forced: Forced) -> None:
    assert [body["forced"] for body in forced.bodies] == [{**FORCE, "by": "admin"}] * 2
    # The later of the two has waited for the earlier: it was judged against what that one left.
    assert forced.stale == [False, False]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A promoted date that was run again with another decision, and a backfill of what that made stale."""

    day: date
    stale: set[str]
    listed: set[str]
    released: list[str]
    result: dict[str, Any]
    mended: Chain


@pytest.fixture(scope="module")
def rejected(forced: Forced, lake: Lake) -> Rejected:
    chain = read_chain(lake)
    day = next(d for d in chain.days[:-1] if chain.entries[d.isoformat()].decision == "PROMOTE")
    perennial("run", PIPELINE, "--date", day.isoformat(), "--force-decision", "REJECT", "--force-reason", "a lesson")
    stale = {name for name, entry in read_chain(lake).entries.items() if entry.stale}
    listed = {one["date"] for one in perennial("decisions", PIPELINE, "--stale")["decisions"]}
    before = released(lake)
    return Rejected(day, stale, listed, before, backfill("--again", "stale")["result"], read_chain(lake))


def test_a_rerun_of_an_old_date_marks_what_rested_on_it_and_a_backfill_mends_it(rejected: Rejected) -> None:
    assert rejected.stale
    assert min(rejected.stale) > rejected.day.isoformat()
    assert rejected.stale <= rejected.listed
    assert rejected.released == [LAST.isoformat()]
    assert rejected.result["stale"] == 0
    assert rejected.mended.entries[rejected.day.isoformat()].decision == "REJECT"
    assert not [name for name, entry in rejected.mended.entries.items() if entry.stale]


@dataclass(frozen=True, slots=True)
class Corrected:
    """A drop that was replaced, and a backfill of the dates that rest on it; all that is stale at each moment."""

    day: date
    stale_before: list[dict[str, Any]]
    before: Mapping[str, Entry]
    stale: list[dict[str, Any]]
    result: dict[str, Any]
    after: Mapping[str, Entry]
    stale_after: list[dict[str, Any]]
    released: list[str]


@pytest.fixture(scope="module")
def corrected(rejected: Rejected, lake: Lake, stack) -> Corrected:
    day, stale_before = date(2026, 3, 12), perennial("stale", PIPELINE)["stale"]
    correct(lake, stack, day)
    before, stale = read_chain(lake).entries, perennial("stale", PIPELINE)["stale"]
    result, after = backfill("--again", "stale")["result"], read_chain(lake).entries
    return Corrected(day, stale_before, before, stale, result, after, perennial("stale", PIPELINE)["stale"], released(lake))


def test_a_correction_runs_exactly_the_dates_that_rest_on_it(corrected: Corrected, lake: Lake) -> None:
    assert corrected.stale_before == []
    stale = {one["date"]: one["reason"] for one in corrected.stale if not one["blocked"]}
    rests = {d.isoformat() for d in days(FIRST, LAST) if corrected.day in lake.pipeline.calendar.needed_dates(d)}
    assert stale.keys() == rests
    assert set(stale.values()) == {"readings of 2026-03-12 has changed"}
    assert corrected.result["failed"] == []
    before, after = corrected.before, corrected.after
    assert {day for day, entry in after.items() if entry.uri != before[day].uri} >= rests
    assert {day for day in before if day < min(rests) and after[day] != before[day]} == set()
    assert set(corrected.released) == {LAST.isoformat()}
    assert corrected.stale_after == []
    assert lake.objects.exists(before[min(rests)].uri)


def test_a_date_whose_own_drop_is_gone_is_named_and_not_run(corrected: Corrected, lake: Lake, stack) -> None:
    gone = date(2026, 3, 17)
    manifest = lake.pipeline.sources[stack.generator.SOURCE].drop_uri(gone) + "_MANIFEST.json"
    body = lake.objects.read_existing(manifest).body
    lake.objects.delete(manifest)
    try:
        stale, result = perennial("stale", PIPELINE)["stale"], backfill("--again", "stale")["result"]
    finally:
        stack.put(lake, manifest, body)
    reason = "its drop of readings is no longer in the landing zone"
    assert stale == [{"date": gone.isoformat(), "reason": reason, "blocked": True, "changes": []}]
    assert result["dates"] == 0
    assert perennial("stale", PIPELINE)["stale"] == []


def test_runs_beside_each_other_double_nothing(corrected: Corrected, lake: Lake, stack) -> None:
    correct(lake, stack, date(2026, 3, 9))
    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(backfill, run=in_a_shell)
        alone = pool.submit(in_a_shell, "run", PIPELINE, "--date", "2026-03-10")
        stack.wait_for(lambda: stack.airflow.open_backfill(DAG) is not None, 120)
        manual = stack.airflow.trigger(DAG, {"date": "2026-03-11"})
        with pytest.raises(AssertionError, match="another backfill is running"):
            in_a_shell("backfill", PIPELINE, "--from", "2026-03-07", "--to", "2026-03-13")
        assert whole.result(900)["result"]["failed"] == []
        assert alone.result(900)["date"] == "2026-03-10"
    assert stack.airflow.wait(DAG, manual, 600)[0] == "success"
    # Whoever decided before an earlier date had is judged anew.
    assert backfill("--again", "stale")["result"]["stale"] == 0
    assert perennial("stale", PIPELINE)["stale"] == []
    state = lake.tables.state("features")
    for day in days(FIRST, LAST):
        rows = read_rows(state.metadata_location or "", state.snapshot_id or 0, [day], ["reading_id"])["reading_id"].to_pylist()
        assert len(rows) == len(set(rows)) == state.partitions[day.isoformat()].rows
    assert set(released(lake)) == {LAST.isoformat()}


def test_a_pause_or_a_cancellation_in_airflow_holds_nothing_for_ever(first: First, lake: Lake, stack) -> None:
    few = FIRST + 2 * DAY
    begin, end = (midnight(day, lake.pipeline.calendar.time_zone) for day in (FIRST, few))
    stack.wait_for(lambda: stack.airflow.open_backfill(DAG) is None, 120)
    stack.airflow._send("PATCH", f"/dags/{DAG}", {"is_paused": True})
    one = stack.airflow.backfill(DAG, begin, end, {}, reprocess="completed")
    stack.airflow._send("PUT", f"/backfills/{one}/pause")
    found = backfill(last=few)["result"]
    assert (found["backfills"], found["failed"]) == ([one], [])
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(backfill, run=in_a_shell)
        stack.wait_for(lambda: (stack.airflow.open_backfill(DAG) or {"id": one})["id"] != one, 120)
        two = stack.airflow.open_backfill(DAG)["id"]
        stack.airflow._send("PUT", f"/backfills/{two}/cancel")
        with pytest.raises(AssertionError, match=f"Backfill {two} was cancelled in Airflow"):
            whole.result(300)
    assert backfill()["result"]["failed"] == []


def test_an_experiment_leaves_production_as_it_was_and_is_compared_with_it(first: First, lake: Lake, stack) -> None:
    before = contents(lake)
    words = ["--as", "weekly", "--cadence", "weekly", "--candidates", "logistic"]
    made = backfill(*words)
    assert sum(made["decisions"].values()) == 2
    assert made["without"] == {}
    assert backfill(*words)["decisions"] == made["decisions"]
    assert contents(lake) == before
    found = perennial("compare", "main", "weekly", "--pipeline", PIPELINE, "--from", FIRST.isoformat(), "--to", LAST.isoformat())
    assert {one["name"]: one["decided"] for one in found["policies"]} == {"main": 14, "weekly": 2}
    assert found["dates"] >= 6
    page = perennial("report", PIPELINE, "--from", FIRST.isoformat(), "--to", LAST.isoformat())
    assert page["dates"] == 14
    assert set(page["pooled"]) == {"champion", "frozen at the start", "base rate", "mlp", "logistic"}
    html = Path(page["file"]).read_text(encoding="utf-8")
    assert Path(page["file"]).stat().st_mode & 0o777 == 0o600
    assert html.startswith("<!doctype html>")
    address = f"{stack.airflow.url}/perennial/report/"
    shown = stack.airflow.get(f"/perennial/report/{DAG}")
    head, body, rest = html.partition("<body>")
    assert (shown.status_code, body) == (200, "<body>")
    assert shown.text.startswith(head + body)
    assert shown.text.endswith(rest)
    now = shown.text.removeprefix(head + body).removesuffix(rest)
    assert f"active release: {perennial('status', PIPELINE)['pipelines'][0]['release']} (" in now
    assert shown.headers["Content-Security-Policy"] == "sandbox allow-scripts"
    for dag_id in ("janitor", "retrain_nobody", "retrain_..", "retrain_%2e%2e%2fx"):
        assert stack.airflow.get(f"/perennial/report/{dag_id}").status_code == 404
    assert httpx.get(address + DAG).status_code == 401
