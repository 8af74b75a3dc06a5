"""Submitting a Spark job: how its end becomes an answer. A shell script stands in for spark-submit."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.errors import PerennialError, RefusedError
from perennial.spark.submit import SparkPlan, submit

PLAN = SparkPlan("job.py", "s3://lake/jobs/x.json", 1, {"spark.a": "b"})


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a program that takes the place of spark-submit."""
    program = tmp_path / "spark-submit"
    monkeypatch.setenv("PERENNIAL_SPARK_SUBMIT", str(program))
    return program


def script(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def test_a_job_that_refuses_its_input_is_refused_in_its_own_words(ends: Path) -> None:
    script(ends, "echo Java; echo '✗ features.sql: division by zero'; exit 65")
    with pytest.raises(RefusedError, match=r"^features\.sql: division by zero\nJob file: s3://lake/jobs/x\.json$") as refused:
        submit(PLAN)
    assert not refused.value.retryable


def test_a_job_that_refuses_without_a_word_is_named(ends: Path) -> None:
    script(ends, "exit 65")
    with pytest.raises(RefusedError, match=r"without a reason\nJob file: s3://lake/jobs/x\.json"):
        submit(PLAN)


@pytest.mark.parametrize("code", [1, 137])
def test_any_other_end_may_be_retried_and_quotes_the_last_lines(ends: Path, code: int) -> None:
    script(ends, f"for n in $(seq 30); do echo line $n; done; exit {code}")
    with pytest.raises(PerennialError, match=f"exit code {code}. Its last lines:") as failed:
        submit(PLAN)
    assert not isinstance(failed.value, RefusedError)
    assert "line 30" in str(failed.value)
    assert "line 1\n" not in str(failed.value)


def test_the_plan_is_what_is_submitted_and_no_plan_submits_nothing(ends: Path, tmp_path: Path) -> None:
    script(ends, f'echo "$@" >> {tmp_path}/submitted')
    assert submit(PLAN)
    assert not submit(SparkPlan("job.py", None, 0))
    assert (tmp_path / "submitted").read_text() == "--conf spark.a=b job.py s3://lake/jobs/x.json\n"


def test_a_job_for_the_cluster_is_submitted_as_airflow_submits_its_jobs(
    ends: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(ends, f'echo "$@" >> {tmp_path}/submitted')
    submit(PLAN, on_cluster=True)
    monkeypatch.setenv("PERENNIAL_SPARK_MASTER", "spark://m:7077")
    submit(PLAN, on_cluster=True)
    monkeypatch.setenv("PERENNIAL_SPARK_PROPERTIES", "/keys/spark.properties")
    submit(PLAN, on_cluster=True)
    submit(PLAN)
    job = "job.py s3://lake/jobs/x.json"
    assert (tmp_path / "submitted").read_text().splitlines() == [
        f"--conf spark.a=b {job}",
        f"--master spark://m:7077 --conf spark.a=b --conf spark.authenticate=false {job}",
        f"--master spark://m:7077 --properties-file /keys/spark.properties --conf spark.a=b {job}",
        f"--conf spark.a=b {job}",
    ]


def test_without_a_program_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_SPARK_SUBMIT", raising=False)
    with pytest.raises(PerennialError, match=r"PERENNIAL_SPARK_SUBMIT is not set .*Looked in .*stack\.env.*`make up`"):
        submit(PLAN)
