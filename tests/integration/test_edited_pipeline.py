"""A pipeline that rests at weekends and learns its labels late: a backfill, then labels that come later, then other columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml
from command_line import perennial
from returned_orders import drops, known_labels

from perennial.calendar import days
from perennial.config.load import FILE
from perennial.deploy.rollback import list_releases
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.holdout import read_predictions
from perennial.lake.lake import Lake
from perennial.lake.tables import read_rows
from perennial.train.trainings import read_model

pytestmark = pytest.mark.stack

PIPELINE = "returned_orders"
DAG = f"retrain_{PIPELINE}"
START, HOLIDAY = date(2026, 2, 16), date(2026, 3, 2)
FIRST, LAST = date(2026, 2, 27), date(2026, 3, 3)
"""A Friday, and the Tuesday after a Monday without data."""
MOVED, EDITED = date(2026, 3, 4), date(2026, 3, 5)
KNOWN_AFTER, KNOWN_LATER = 2, 4
WINDOW = [date(2026, 2, day) for day in (23, 24, 25)]
HOLDOUT = [date(2026, 2, day) for day in (26, 27)]
"""Of the runs of LAST and later: all their labels are known up to a rest date, so the last one is Friday's."""
UNUSED = [date(2026, 2, day) for day in (19, 20)]
"""Dates that FIRST trains on, and MOVED and EDITED do not."""
RUN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its tasks' results, and the logs of those that say what an edit leaves behind."""

    results: dict[str, dict[str, Any]]
    logs: dict[str, str]


def with_data(first: date, last: date) -> list[date]:
    return [day for day in days(first, last) if day.weekday() < 5 and day != HOLIDAY]


def land(stack, lake: Lake, day: date, *, with_channel: bool = False) -> None:
    for source, files in drops(day, with_channel=with_channel).items():
        for name, body in files.items():
            stack.put(lake, lake.pipeline.sources[source].drop_uri(day) + name, body)


def edit(stack, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit the pipeline's YAML, as its author would."""
    file = stack.config.pipelines / PIPELINE / FILE
    document = yaml.safe_load(file.read_text())
    change(document)
    file.write_text(yaml.safe_dump(document, sort_keys=False))


def run(stack, day: date, **conf: Any) -> Run:
    """Run a date by its DAG."""
    run_id = stack.airflow.trigger(DAG, {"date": day.isoformat(), **conf})
    state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
    logs = {task.task: stack.airflow.log(DAG, run_id, task) for task in tasks if task.task in ("clean", "analyse", "evaluate")}
    assert state == "success", ({task.name: task.state for task in tasks}, logs)
    assert {task.state for task in tasks} == {"success"}
    return Run({task.task: stack.airflow.result(DAG, run_id, task.task, task.map_index) for task in tasks}, logs)


def iso(dates: list[date]) -> list[str]:
    return [day.isoformat() for day in dates]


def keys(lake: Lake, table: str) -> dict[str, str]:
    return {day: partition.key for day, partition in lake.tables.state(table).partitions.items()}


def rows(lake: Lake, table: str, dates: list[date], columns: list[str]) -> dict[str, list[Any]]:
    state = lake.tables.state(table)
    assert state.metadata_location is not None
    assert state.snapshot_id is not None
    found: dict[str, list[Any]] = read_rows(state.metadata_location, state.snapshot_id, dates, columns).to_pydict()
    return found


def labels(lake: Lake, dates: list[date]) -> dict[Any, bool]:
    found = rows(lake, "labels", dates, ["order_id", "is_returned"])
    return dict(zip(found["order_id"], found["is_returned"], strict=True))


def models(lake: Lake) -> dict[str, dict[str, Any]]:
    """Return the newest model of each date."""
    listed = sorted(lake.objects.listing(f"{lake.layout.root}/models/"), key=lambda item: item.at)
    found = [read_model(lake, item.uri) for item in listed if item.uri.endswith(".json")]
    return {model["date"]: model for model in found}


@pytest.fixture(scope="module")
def backfilled(stack) -> Lake:
    """Backfill a weekend and the Monday after it, on which nothing landed."""
    lake = stack.lake(PIPELINE)
    stack.airflow.wait_for_dag(DAG)
    for day in with_data(START, LAST):
        land(stack, lake, day)
    found = perennial("backfill", PIPELINE, "--from", FIRST.isoformat(), "--to", LAST.isoformat())
    plan, result = found["plan"], found["result"]
    assert (plan["dates"], plan["rest"], plan["missing"]) == (2, 3, [])
    assert plan["chunks"] == [iso([FIRST, LAST])]
    assert (result["dates"], result["failed"]) == (2, [])
    return lake


@pytest.fixture(scope="module")
def moved(stack, backfilled: Lake) -> Run:
    """Let the labels be known two days later than before, and run the next date."""
    edit(stack, lambda document: document["label"].update(known_after_days=KNOWN_LATER))
    land(stack, backfilled, MOVED)
    return run(stack, MOVED)


@dataclass(frozen=True, slots=True)
class Edited:
    """The state before an edit of columns, the answer of `impact`, and the run after the edit."""

    before: dict[str, dict[str, str]]
    effects: dict[str, dict[str, Any]]
    run: Run
    lake: Lake


@pytest.fixture(scope="module")
def edited(stack, moved: Run) -> Edited:
    """Add a column and give the row key another type; ask what that costs, and run the next date."""

    def change(document: dict[str, Any]) -> None:
        sources = document["sources"]
        sources["orders"]["columns"]["channel"] = {"type": "string", "since": EDITED}
        for source in sources.values():
            source["columns"]["order_id"]["type"] = "string"
        document["inputs"]["request"]["channel"] = "category?"

    land(stack, stack.lake(PIPELINE), EDITED, with_channel=True)
    edit(stack, change)
    query = stack.config.pipelines / PIPELINE / "features.sql"
    query.write_text(query.read_text().replace("o.price\n", "o.price, o.channel\n"))
    lake = stack.lake(PIPELINE)
    tables = ("clean_orders", "clean_returns", "features", "labels")
    before = {table: keys(lake, table) for table in tables}
    scope = next(one for one in perennial("impact", PIPELINE)["scopes"] if one["from"] == one["to"] == EDITED.isoformat())
    done = run(stack, EDITED, force_decision="PROMOTE", force_reason="callers send the new field")
    return Edited(before, {effect["name"]: effect for effect in scope["effects"]}, done, lake)


def test_a_backfill_makes_runs_of_the_dates_with_data_alone(stack, backfilled: Lake) -> None:
    made = sorted(datetime.fromisoformat(one["logical_date"]).date() for one in stack.airflow.runs(DAG) if one["logical_date"])
    assert made == [FIRST, LAST]
    assert read_chain(backfilled).days == [FIRST, LAST]
    assert sorted(backfilled.tables.state("features").partitions) == iso(with_data(UNUSED[0], LAST))


def test_a_release_before_rest_dates_has_the_lookups_of_the_date_after_them(backfilled: Lake) -> None:
    assert [one.date for one in list_releases(backfilled)] == [LAST.isoformat()]
    midnights = sorted(backfilled.tables.state("lookup_category_rates").partitions)
    assert midnights == iso([*with_data(UNUSED[0], LAST), MOVED])


def test_a_backfill_learns_what_was_known_on_each_date(backfilled: Lake) -> None:
    landed, labelled = with_data(START, LAST), [*UNUSED, *WINDOW, *HOLDOUT]
    assert sorted(backfilled.tables.state("labels").partitions) == iso(labelled)
    assert labels(backfilled, labelled) == known_labels(labelled, landed, KNOWN_AFTER)
    found = models(backfilled)
    assert [*found[LAST.isoformat()]["window"], *found[LAST.isoformat()]["holdout"]] == iso([*WINDOW, *HOLDOUT])
    early = found[FIRST.isoformat()]
    assert early["holdout"] == iso(WINDOW[1:])
    assert max(early["holdout"]) <= (FIRST - timedelta(days=KNOWN_AFTER)).isoformat()


def test_labels_that_come_later_than_before_are_made_again_and_known_no_sooner(moved: Run, backfilled: Lake) -> None:
    landed, used = with_data(START, MOVED), [*WINDOW, *HOLDOUT]
    assert moved.results["analyse"]["labelled_dates"] == len(used)
    after = known_labels(used, landed, KNOWN_LATER)
    model = models(backfilled)[MOVED.isoformat()]
    assert [*model["window"], *model["holdout"]] == iso(used)
    judged = read_predictions(backfilled, model).to_pydict()
    said = dict(zip(judged["order_id"], map(bool, judged["y"]), strict=True))
    assert said == {name: after[int(name)] for name in said}
    assert said != {name: known_labels(used, landed, KNOWN_AFTER)[int(name)] for name in said}


def test_impact_says_what_an_edit_of_columns_makes_again(edited: Edited) -> None:
    for table, before in edited.before.items():
        effect, now = edited.effects[table], keys(edited.lake, table)
        made = sorted(day for day, key in now.items() if key and key != before.get(day) and day in before)
        assert made
        new = sorted(now.keys() - before.keys())
        assert ([one["date"] for one in effect["stale"]], effect["missing"]) == (made, new), table
    reasons = {(one["cause"], one["what"]) for day in edited.effects["clean_orders"]["stale"] for one in day["reasons"]}
    assert reasons == {("configuration", "columns.channel added"), ("configuration", "columns.order_id.type changed")}
    for name in ("orders", "returns", "logistic", "decision"):
        assert (edited.effects[name]["missing"], edited.effects[name]["stale"]) == ([EDITED.isoformat()], []), name


def test_a_run_after_an_edit_of_columns_says_which_old_dates_have_nulls(edited: Edited) -> None:
    without = with_data(START + timedelta(days=1), MOVED)
    clean, analysed = edited.run.results["clean"], edited.run.results["analyse"]
    assert clean["nulls"] == {"orders.channel": len(without)}
    assert f"Columns that drops lack, with the number of dates: orders.channel {len(without)}" in edited.run.logs["clean"]
    assert clean["earlier_columns"] == {"orders": 1, "returns": 1}
    assert analysed["earlier_columns"] == {"features": len(UNUSED), "labels": len(UNUSED)}
    assert f"earlier columns: {len(UNUSED)} of features, {len(UNUSED)} of labels" in edited.run.logs["analyse"]
    assert set(rows(edited.lake, "clean_orders", [START], ["order_id", "channel"])["order_id"]) == {None}
    assert set(rows(edited.lake, "clean_orders", without, ["channel"])["channel"]) == {None}
    assert set(rows(edited.lake, "clean_orders", [EDITED], ["channel"])["channel"]) == {"web", "shop"}


def test_labels_and_rows_meet_by_the_row_keys_new_type(edited: Edited) -> None:
    used = [*WINDOW, *HOLDOUT]
    expected = known_labels(used, with_data(START, EDITED), KNOWN_LATER)
    assert labels(edited.lake, used) == {str(order): label for order, label in expected.items()}
    model = models(edited.lake)[EDITED.isoformat()]
    assert sum(model["rows"].values()) > 0.8 * len(expected)


def test_the_new_field_is_served(stack, edited: Edited) -> None:
    assert edited.run.results["evaluate"]["decision"] == "PROMOTE"
    records = [{"category": "shoes", "price": 80.0, "channel": channel} for channel in ("web", None)]
    answer = httpx.post(f"{stack.endpoint(PIPELINE)}/predict", json=records, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["release"] == edited.run.results["deploy"]["released"]


def test_questions_about_the_past_are_answered_after_the_edits(stack, edited: Edited) -> None:
    stale = {one["date"]: one for one in perennial("stale", PIPELINE)["stale"]}
    assert sorted(stale) == iso([FIRST, LAST, MOVED])
    page = perennial("report", PIPELINE, "--from", FIRST.isoformat(), "--to", EDITED.isoformat())
    assert page["dates"] == 4
    (status,) = perennial("status", PIPELINE)["pipelines"]
    assert (status["last_date"], status["at_rest"]) == (EDITED.isoformat(), [])
    assert status["unlabelled"] == iso([LAST, MOVED, EDITED])
