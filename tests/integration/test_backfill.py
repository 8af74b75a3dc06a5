"""History: a backfill through Airflow trains and judges past dates exactly, and releases the newest alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import in_a_shell, perennial

from perennial.calendar import DAY, days, midnight
from perennial.deploy.rollback import list_releases
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.lake.tables import read_rows

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]

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


@pytest.fixture(scope="module")
def first(lake: Lake) -> dict[str, Any]:
    planned = backfill("--plan")["plan"]
    assert planned["chunks"] == [[FIRST.isoformat(), LAST.isoformat()]]
    assert (planned["unchanged"], planned["missing"], planned["deploys"]) == (0, [], LAST.isoformat())
    assert not read_chain(lake).entries
    return backfill(run=in_a_shell)["result"]


def test_every_date_is_decided_and_the_newest_alone_is_released(first: dict[str, Any], lake: Lake) -> None:
    assert (first["dates"], first["failed"], first["stale"]) == (14, [], 0)
    assert sum(first["decisions"].values()) == 14
    assert read_chain(lake).days == list(days(FIRST, LAST))
    assert [one["date"] for one in list_releases(lake)] == [LAST.isoformat()]


def test_a_plan_tells_what_is_settled(first: dict[str, Any]) -> None:
    planned = perennial("backfill", PIPELINE, "--from", LANDED.isoformat(), "--to", LAST.isoformat(), "--plan")["plan"]
    assert (planned["unchanged"], planned["young"], planned["stale"], planned["chunks"]) == (14, 4, [], [])


def test_the_dates_after_the_first_take_one_task(first: dict[str, Any], stack) -> None:
    ran = {run["logical_date"][:10]: run["dag_run_id"] for run in stack.airflow.runs(DAG)}
    tasks = {day: {task.task: task.state for task in stack.airflow.tasks(DAG, run_id)} for day, run_id in ran.items()}
    worked = {day for day, states in tasks.items() if states["clean"] == "success"}
    assert worked == {FIRST.isoformat(), LAST.isoformat()}
    for day in tasks.keys() - worked:
        assert {task for task, state in tasks[day].items() if state != "skipped"} == {"plan_run"}


def test_a_date_alone_gives_what_it_gave_among_the_others(first: dict[str, Any], lake: Lake) -> None:
    before = read_chain(lake).entries
    # What comes out otherwise is refused.
    perennial("run", PIPELINE, "--date", "2026-03-11", "--recompute")
    assert read_chain(lake).entries == before


def test_again_it_writes_nothing(first: dict[str, Any], lake: Lake) -> None:
    before = contents(lake)
    assert backfill()["result"]["failed"] == []
    assert contents(lake) == before


def test_a_backfill_from_airflow_itself_is_as_safe(first: dict[str, Any], lake: Lake, stack) -> None:
    before = contents(lake)
    backfill_by_airflow(stack, lake, LAST - 5 * DAY, LAST, {}, runs_at_once=3)
    assert contents(lake) == before


@pytest.mark.parametrize("day", [FIRST, date(2026, 3, 11)])
def test_clearing_tasks_of_an_old_run_by_hand_is_as_safe(first: dict[str, Any], lake: Lake, stack, day: date) -> None:
    """One whose run has worked, and one whose tasks were skipped because its work was done."""
    before, instant = contents(lake), midnight(day, lake.pipeline.calendar.time_zone)
    (run,) = [run for run in stack.airflow.runs(DAG) if datetime.fromisoformat(run["logical_date"]) == instant]
    tasks = [task.task for task in stack.airflow.tasks(DAG, run["dag_run_id"])]
    for cleared in (["deploy"], ["evaluate"], ["analyse", "train", "evaluate", "deploy"], tasks):
        stack.airflow.clear(DAG, run["dag_run_id"], cleared)
        assert stack.airflow.wait(DAG, run["dag_run_id"], 300)[0] == "success", cleared
    assert contents(lake) == before


def test_params_of_a_backfill_hold_for_dates_that_ran_before(first: dict[str, Any], lake: Lake, stack) -> None:
    dates = [date(2026, 3, 10), date(2026, 3, 11)]
    force = {"decision": "HOLD", "reason": "a lesson for two dates"}
    conf = {f"force_{key}": value for key, value in force.items()}
    backfill_by_airflow(stack, lake, *dates, conf, runs_at_once=2)
    entries = read_chain(lake).entries
    bodies = [lake.objects.read_existing(entries[day.isoformat()].uri).json() for day in dates]
    assert [body["forced"] for body in bodies] == [force, force]
    # The later of the two has waited for the earlier: it was judged against what that one left.
    assert not any(entries[day.isoformat()].stale for day in dates)


def test_a_rerun_of_an_old_date_marks_what_rested_on_it_and_a_backfill_mends_it(first: dict[str, Any], lake: Lake) -> None:
    chain = read_chain(lake)
    day = next(d for d in chain.days[:-1] if chain.entries[d.isoformat()].decision == "PROMOTE")
    perennial("run", PIPELINE, "--date", day.isoformat(), "--force-decision", "REJECT", "--force-reason", "a lesson")
    stale = {name for name, entry in read_chain(lake).entries.items() if entry.stale}
    assert stale
    assert min(stale) > day.isoformat()
    assert [one["date"] for one in list_releases(lake)] == [LAST.isoformat()]
    assert stale <= {one["date"] for one in perennial("decisions", PIPELINE, "--stale")["decisions"]}
    assert backfill("--again", "stale")["result"]["stale"] == 0
    mended = read_chain(lake)
    assert mended.entries[day.isoformat()].decision == "REJECT"
    assert not [name for name, entry in mended.entries.items() if entry.stale]


def test_a_correction_runs_exactly_the_dates_that_rest_on_it(first: dict[str, Any], lake: Lake, stack) -> None:
    assert perennial("stale", PIPELINE)["stale"] == []
    corrected = date(2026, 3, 12)
    correct(lake, stack, corrected)
    before = read_chain(lake).entries
    stale = {one["date"]: one["reason"] for one in perennial("stale", PIPELINE)["stale"] if not one["blocked"]}
    rests = {d.isoformat() for d in days(FIRST, LAST) if corrected in lake.pipeline.calendar.needed_dates(d)}
    assert stale.keys() == rests
    assert set(stale.values()) == {"readings of 2026-03-12 has changed"}
    result = backfill("--again", "stale")["result"]
    assert result["failed"] == []
    after = read_chain(lake).entries
    assert {day for day, entry in after.items() if entry.uri != before[day].uri} >= rests
    assert {day for day in before if day < min(rests) and after[day] != before[day]} == set()
    assert {one["date"] for one in list_releases(lake)} == {LAST.isoformat()}
    assert perennial("stale", PIPELINE)["stale"] == []
    assert lake.objects.exists(before[min(rests)].uri)


def test_a_date_whose_own_drop_is_gone_is_named_and_not_run(first: dict[str, Any], lake: Lake, stack) -> None:
    gone = date(2026, 3, 17)
    manifest = lake.pipeline.sources[stack.generator.SOURCE].drop_uri(gone) + "_MANIFEST.json"
    body = lake.objects.read_existing(manifest).body
    lake.objects.delete(manifest)
    reason = "its drop of readings has left the landing zone"
    assert perennial("stale", PIPELINE)["stale"] == [{"date": gone.isoformat(), "reason": reason, "blocked": True, "changes": []}]
    assert backfill("--again", "stale")["result"]["dates"] == 0
    stack.put(lake, manifest, body)
    assert perennial("stale", PIPELINE)["stale"] == []


def test_runs_beside_each_other_double_nothing(first: dict[str, Any], lake: Lake, stack) -> None:
    correct(lake, stack, date(2026, 3, 9))
    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(backfill, run=in_a_shell)
        alone = pool.submit(in_a_shell, "run", PIPELINE, "--date", "2026-03-10")
        stack.wait_for(lambda: stack.airflow.open_backfill(DAG) is not None, 120)
        manual = stack.airflow.trigger(DAG, {"date": "2026-03-11"})
        with pytest.raises(AssertionError, match="another backfill runs"):
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
    assert {one["date"] for one in list_releases(lake)} == {LAST.isoformat()}


def test_a_pause_or_a_cancellation_in_airflow_holds_nothing_for_ever(first: dict[str, Any], lake: Lake, stack) -> None:
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


def test_an_experiment_leaves_production_as_it_was_and_is_compared_with_it(first: dict[str, Any], lake: Lake, stack) -> None:
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
