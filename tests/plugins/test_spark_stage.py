"""The operator of the Spark stages, through Airflow's own operator and hook; a shell script stands in for spark-submit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout

from perennial.clean.plan import Cleaned
from perennial.display.showable import make_showable
from perennial.errors import PerennialError, RefusedError
from perennial.lake.result import Outcome, Skipped
from perennial.spark.submit import SparkPlan
from perennial_airflow.operators import spark_stage
from perennial_airflow.operators.spark_stage import SparkStageOperator

DAY, UNTIL = "2026-03-05", "2026-03-09"
CLEANED = Cleaned(Outcome.DONE, date.fromisoformat(DAY), {"orders": 2}, {"orders": 0}, {"orders": "digest"}, {}, [], {}, {}, [])
CONTEXT: Any = {
    "dag_run": SimpleNamespace(run_id="r"),
    "params": {"recompute": False},
    "ti": SimpleNamespace(xcom_push=lambda **_: None),
}


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Return a function that writes the program spark-submit; called without text it returns the jobs that were submitted."""
    program, log = tmp_path / "spark-submit", tmp_path / "submitted"
    log.touch()
    monkeypatch.setenv("PERENNIAL_SPARK_SUBMIT", str(program))
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type": "spark", "host": "local[1]"}')
    monkeypatch.setattr(spark_stage, "lake_of", lambda name: name)

    def plan(lake: str, day: date, *, until: date, recompute: bool) -> SparkPlan:
        return SparkPlan("job.py", f"s3://jobs/{day}_{until}", 1, {"spark.a": "b"})

    monkeypatch.setattr("perennial.clean.plan.plan_clean", plan)
    monkeypatch.setattr("perennial.clean.plan.finish_clean", lambda lake, day: CLEANED)

    def write(text: str = "") -> list[str]:
        if text:
            program.write_text(f'#!/bin/sh\nfor job in "$@"; do :; done\necho "$job" >> {log}\n{text}\n')
            program.chmod(0o755)
        return log.read_text().split()

    return write


def stage(until: str = DAY) -> SparkStageOperator:
    return SparkStageOperator(task_id="clean", pipeline="p", stage="clean", day=DAY, until=until)


AHEAD, ALONE = f"s3://jobs/{DAY}_{UNTIL}", f"s3://jobs/{DAY}_{DAY}"


def test_one_job_serves_all_dates_that_it_works_ahead_for(submitted: Callable[..., list[str]]) -> None:
    submitted("exit 0")
    assert stage(UNTIL).execute(CONTEXT) == CLEANED.to_json()
    assert submitted() == [AHEAD]


def test_where_working_ahead_fails_the_date_is_done_alone(submitted: Callable[..., list[str]]) -> None:
    submitted(f'[ "$job" = {ALONE} ]')
    assert stage(UNTIL).execute(CONTEXT)["outcome"] == "done"
    assert submitted() == [AHEAD, ALONE]


def test_a_date_that_is_refused_alone_is_refused_in_the_jobs_words(submitted: Callable[..., list[str]]) -> None:
    long = "seq 30 | sed 's/^/│   x: /'; seq 30"  # more lines than the hook keeps
    submitted(f"echo '✗ features.sql: division by zero'; {long}; exit 65")
    with pytest.raises(RefusedError, match=r"^features\.sql: division by zero\n  x: 1\n(.*\n)+Job file: s3://") as refused:
        stage(UNTIL).execute(CONTEXT)
    assert refused.value.__suppress_context__, "Airflow's log would begin with the command line"
    assert submitted() == [AHEAD, ALONE]


def test_what_a_query_reads_cannot_steer_the_log(submitted: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The text reaches the log through the lines of the JVM, and the job's own error."""
    submitted("printf 'java: \\033[2J\\302\\233\\342\\200\\256\\n✗ raised \\033]52;c;x\\007\\n'; exit 65")
    lines: list[str] = []
    monkeypatch.setattr(SparkSubmitHook, "log", SimpleNamespace(info=lambda text, *_: lines.append(text), debug=lambda *_: None))
    with pytest.raises(RefusedError, match=r"^raised \\x1b\]52;c;x\\x07\n"):
        stage().execute(CONTEXT)
    assert "java: \\x1b[2J\\x9b\\u202e" in lines
    assert [line for line in lines if make_showable(line) != line] == []


def test_a_job_on_a_cluster_gets_the_file_with_its_secret(
    submitted: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_SPARK_MASTER", "spark://spark-master:7077")
    submitted('case "$*" in *"spark.authenticate=false"*) exit 0;; *) exit 1;; esac')
    stage().execute(CONTEXT)
    monkeypatch.setenv("PERENNIAL_SPARK_PROPERTIES", "/keys/spark.properties")
    submitted(
        'case "$*" in *spark.authenticate*) exit 1;; *"--properties-file /keys/spark.properties"*) exit 0;; *) exit 1;; esac'
    )
    assert stage().execute(CONTEXT) == CLEANED.to_json()


def test_a_job_that_was_killed_may_be_retried(submitted: Callable[..., list[str]]) -> None:
    submitted("exit 137")
    with pytest.raises(PerennialError, match=r"^The Spark job was killed .*\n.*exit code 137") as killed:
        stage().execute(CONTEXT)
    assert killed.value.retryable


def test_nothing_is_submitted_when_the_tables_hold_the_date(
    submitted: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.clean.plan.plan_clean", lambda *_, **__: SparkPlan("job.py", None, 0))
    assert stage(UNTIL).execute(CONTEXT) == {**CLEANED.to_json(), "outcome": "unchanged"}
    assert submitted() == []


ASSET = Asset(name="p_clean", uri="perennial://p/clean")


def test_a_finished_task_announces_its_date_and_a_skipped_one_nothing(
    submitted: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.clean.plan.plan_clean", lambda *_, **__: SparkPlan("job.py", None, 0))
    event = SimpleNamespace(extra={})
    task = SparkStageOperator(task_id="clean", pipeline="p", stage="clean", day=DAY, until=UNTIL, outlets=[ASSET])
    assert task.execute({**CONTEXT, "outlet_events": {ASSET: event}})["outcome"] == "unchanged"
    assert event.extra == {"date": DAY}

    pushed: list[Any] = []
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.append(value))
    monkeypatch.setattr("perennial.clean.plan.finish_clean", lambda lake, day: Skipped(date=day, reason="no release yet"))
    with pytest.raises(AirflowSkipException, match="no release yet"):
        task.execute({**CONTEXT, "ti": ti})
    assert [value["outcome"] for value in pushed] == ["skipped"]


@pytest.fixture
def run_out_of_time(submitted: Callable[..., list[str]]) -> Iterator[Callable[[SparkStageOperator], None]]:
    """
    Return a function that raises in the main thread once a task's job runs.

    Airflow does the same at the end of execution_timeout.
    """

    def end(*_: Any) -> None:
        raise AirflowTaskTimeout("Timeout")

    def wait(task: SparkStageOperator) -> None:
        while not submitted() or task._hook is None or task._hook._submit_sp is None:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, end)
    yield lambda task: Thread(target=wait, args=(task,), daemon=True).start()
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("until", "error"), [(DAY, AirflowTaskTimeout), (UNTIL, TimeoutError)])
def test_a_job_without_an_end_is_stopped_and_only_many_dates_get_another_try(
    submitted: Callable[..., list[str]],
    run_out_of_time: Callable[[SparkStageOperator], None],
    capsys: pytest.CaptureFixture[str],
    until: str,
    error: type[Exception],
) -> None:
    submitted("exec sleep 60")
    task = stage(until)
    task.execution_timeout = timedelta(hours=3)
    run_out_of_time(task)
    with pytest.raises(error):
        task.execute(CONTEXT)
    assert f"clean of {DAY} until {until} did not end within 3:00:00" in capsys.readouterr().out
    process = task._hook._submit_sp  # type: ignore[union-attr]
    if until != DAY:
        assert process.wait(timeout=10) != 0, "it is stopped before the next try begins"
    process.kill()
    assert submitted() == [f"s3://jobs/{DAY}_{until}"]
