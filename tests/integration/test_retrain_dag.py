"""The whole DAG on the real stack: from a landed drop to an endpoint that answers, as a user drives it through the API."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from command_line import in_a_shell

from perennial.backfill.airflow_client import TaskState
from perennial.frames.pipeline_data import open_data

PIPELINE = "machine_faults"
DAG = f"retrain_{PIPELINE}"
FIRST, SECOND, THIRD = date(2026, 3, 6), date(2026, 3, 7), date(2026, 3, 8)
RUN_SECONDS = 600
RECORD = {"temperature": 71.5, "pressure": 8.25, "machine": "M03", "mode": "boost"}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its state, and of each task the state, the tries and the result."""

    state: str
    tasks: dict[str, TaskState]
    results: dict[str, dict[str, Any] | None]
    logs: dict[str, str]

    @property
    def states(self) -> dict[str, str]:
        return {name: task.state for name, task in self.tasks.items()}


def run(stack, **conf: Any) -> Run:
    return finish(stack, stack.airflow.trigger(DAG, conf))


def finish(stack, run_id: str) -> Run:
    state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
    results = {task.name: stack.airflow.result(DAG, run_id, task.task, task.map_index) for task in tasks}
    logs = {task.name: stack.airflow.log(DAG, run_id, task) for task in tasks if task.state == "failed"}
    return Run(state, {task.name: task for task in tasks}, results, logs)


@pytest.fixture(scope="module", autouse=True)
def unpaused(stack) -> None:
    stack.airflow.wait_for_dag(DAG)
    stack.airflow.unpause(DAG)


@pytest.fixture(scope="module")
def first(stack) -> Run:
    stack.land(PIPELINE, date(2026, 3, 1), FIRST)
    return run(stack, date=FIRST.isoformat())


@pytest.fixture(scope="module")
def second(stack, first: Run) -> Run:
    stack.land(PIPELINE, SECOND, SECOND)
    return run(stack, date=SECOND.isoformat())


@pytest.fixture(scope="module")
def again(stack, second: Run) -> Run:
    return run(stack, date=SECOND.isoformat())


@pytest.fixture(scope="module")
def half(stack) -> Run:
    """The run of a drop that is half uploaded. Until it is refused, it is the newest that has landed."""
    lake = stack.lake(PIPELINE)
    day = date(2026, 3, 30)
    for name, body in stack.generator.drop(day).items():
        cut = body[: len(body) // 2] if name == "readings-1.csv" else body
        stack.put(lake, lake.pipeline.sources["readings"].drop_uri(day) + name, cut)
    return run(stack, date=day.isoformat())


def test_first_date_goes_from_its_drop_to_a_release(first: Run) -> None:
    assert first.state == "success", first.logs
    assert set(first.states) == {
        "plan_run", "wait_for_drop", "collect", "clean", "analyse", "train[mlp]", "train[logistic]", "evaluate", "deploy",
        "score",
    }  # fmt: skip
    assert set(first.states.values()) == {"success"}
    assert first.results["collect"]["rows_landed"] == {"readings": 200}
    assert first.results["clean"]["rows"] == {"readings": 200}
    assert (first.results["evaluate"]["decision"], first.results["evaluate"]["incumbent"]) == ("PROMOTE", None)
    assert first.results["deploy"]["outcome"] == "done"
    assert first.results["deploy"]["version"] == first.results["evaluate"]["champion"]
    assert first.results["score"]["release"] == first.results["deploy"]["released"]


def test_second_date_is_judged_against_the_first(first: Run, second: Run) -> None:
    assert second.state == "success", second.logs
    assert second.results["evaluate"]["incumbent"] == first.results["evaluate"]["champion"]
    assert second.results["collect"]["new"] == 1
    assert second.results["deploy"]["as_of"] == "2026-03-08"


def test_endpoint_answers_from_the_second_release(stack, second: Run) -> None:
    answer = httpx.post(f"{stack.endpoint(PIPELINE)}/predict", json=[RECORD, {**RECORD, "machine": "M99"}], trust_env=False)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["release"], body["as_of"]) == (second.results["deploy"]["released"], "2026-03-08")
    assert [0 < one["probability"] < 1 for one in body["predictions"]] == [True, True]


def test_same_date_again_is_unchanged_and_costs_one_task(second: Run, again: Run) -> None:
    assert again.state == "success", again.logs
    assert again.states.pop("plan_run") == "success"
    assert {state for name, state in again.states.items() if name != "plan_run"} == {"skipped"}
    plan = again.results["plan_run"]
    assert plan["outcome"] == "unchanged"
    assert {name: stage["outcome"] for name, stage in plan["stages"].items()} == dict.fromkeys(
        ("collect", "clean", "analyse", "train", "evaluate", "deploy", "score"), "unchanged"
    )
    assert plan["stages"]["clean"]["digests"] == second.results["clean"]["digests"]
    assert plan["stages"]["evaluate"]["decision"] == second.results["evaluate"]["decision"]


def test_missing_past_drop_fails_at_once(stack) -> None:
    missing = run(stack, date="2026-03-20")

    assert missing.state == "failed"
    assert (missing.tasks["wait_for_drop"].state, missing.tasks["wait_for_drop"].try_number) == ("failed", 1)
    assert "date=2026-03-20/_MANIFEST.json" in missing.logs["wait_for_drop"]
    assert missing.states["collect"] == "upstream_failed"


def test_half_uploaded_drop_is_refused_by_collect(half: Run) -> None:
    assert (half.tasks["collect"].state, half.tasks["collect"].try_number) == ("failed", 1)
    assert "readings-1.csv" in half.logs["collect"]
    assert half.states["clean"] == "upstream_failed"


def test_early_date_ends_with_the_reason_that_history_is_too_short(stack, first: Run) -> None:
    """With recompute: without it an early date that the first run has cleaned already ends at its first task."""
    early = run(stack, date="2026-03-03", recompute=True)

    assert early.state == "success", early.logs
    assert (early.states["clean"], early.states["analyse"]) == ("success", "success")
    assert {early.states[name] for name in early.states if name.startswith("train")} == {"skipped"}
    assert (early.states["evaluate"], early.states["deploy"]) == ("skipped", "skipped")
    assert early.results["train[mlp]"]["reason"] == "3 of 5 days"


def test_unknown_key_is_refused_by_the_first_task(stack) -> None:
    refused = run(stack, dat="2026-03-06")

    assert refused.state == "failed"
    assert (refused.tasks["plan_run"].state, refused.tasks["plan_run"].try_number) == ("failed", 1)
    assert "unknown key 'dat'. Did you mean 'date'?" in refused.logs["plan_run"]


def test_the_dialogues_defaults_run_the_newest_date_that_has_landed_and_is_not_refused(again: Run, half: Run, stack) -> None:
    run_id = stack.airflow.trigger(DAG, {}, logical_date=datetime.now(UTC))
    state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
    assert state == "success"
    planned = stack.airflow.result(DAG, run_id, "plan_run")
    assert (planned["date"], planned["outcome"]) == (SECOND.isoformat(), "unchanged")
    said = stack.airflow.log(DAG, run_id, next(task for task in tasks if task.task == "plan_run"))
    assert f"Nothing has changed since {SECOND} was decided" in said


def score_at_once(*words: str) -> list[dict[str, Any]]:
    """Score with the same words by two commands at once."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda _: in_a_shell("score", PIPELINE, *words), range(2)))


def held(stack, table: str) -> dict[str, tuple[str, int]]:
    """Return the digest and the rows of each partition of a table."""
    return {place: (item.digest, item.rows) for place, item in stack.lake(PIPELINE).tables.state(table).partitions.items()}


def test_two_commands_that_make_the_first_scores_of_a_table_at_once_both_end_well(stack, first: Run) -> None:
    one, other = score_at_once("--date", FIRST.isoformat(), "--table", "clean_readings")

    assert "done" in (one["outcome"], other["outcome"])
    assert one["digests"] == other["digests"]
    assert held(stack, "scores_clean_readings") == {f"{FIRST}/{one['release']}": (one["digests"][FIRST.isoformat()], 200)}
    frame = open_data(PIPELINE).scores(FIRST, table="clean_readings")
    assert (len(frame), frame["reading_id"].nunique()) == (200, 200)


def test_commands_that_score_the_date_of_a_run_at_once_keep_its_scores(stack, half: Run, again: Run) -> None:
    """It comes last: the other tests take SECOND for the newest date that is decided."""
    stack.land(PIPELINE, THIRD, THIRD)
    run_id = stack.airflow.trigger(DAG, {"date": THIRD.isoformat()})

    def is_scoring() -> bool:
        return any(task.task == "score" and task.state == "running" for task in stack.airflow.tasks(DAG, run_id))

    stack.wait_for(is_scoring, RUN_SECONDS)
    commands = score_at_once("--date", THIRD.isoformat(), "--recompute")
    third = finish(stack, run_id)

    assert third.state == "success", third.logs
    found = [third.results["score"], *commands]
    assert [item["outcome"] for item in found] == ["done"] * 3
    assert {item["release"] for item in found} == {third.results["deploy"]["released"]}
    digest = found[0]["digests"][THIRD.isoformat()]
    assert [item["digests"] for item in found] == [{THIRD.isoformat(): digest}] * 3
    assert held(stack, "scores")[f"{THIRD}/{found[0]['release']}"] == (digest, 200)
    frame = open_data(PIPELINE).scores(THIRD)
    assert (len(frame), frame["reading_id"].nunique()) == (200, 200)
