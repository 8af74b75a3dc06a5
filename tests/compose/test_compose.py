"""The full stack in containers: it comes up healthy, runs the demo's DAG for two dates, answers, and goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

import httpx
import pytest

from perennial.backfill.airflow_client import AirflowClient
from stack.config import REPO
from stack.demo_flight import flight_record

pytestmark = [
    pytest.mark.skipif(not os.environ.get("PERENNIAL_TAG"), reason="make test-compose builds the images and names them"),
    pytest.mark.timeout(3600),  # two dates, and Spark's JVMs start for each of their stages
]

DAG = "retrain_flight_delays"
FIRST, SECOND = date(2013, 2, 12), date(2013, 2, 13)
PROJECT = "perennial-test"
AIRFLOW_PORT, ENDPOINT_PORT = "18080", "18090"
RUN_SECONDS = 1800


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


def compose(*arguments: str, seconds: float = 1200) -> str:
    environment = {**os.environ, "PERENNIAL_AIRFLOW_PORT": AIRFLOW_PORT, "PERENNIAL_ENDPOINT_PORT": ENDPOINT_PORT}
    command = ["docker", "compose", "--project-name", PROJECT, *arguments]
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def stack() -> Iterator[AirflowClient]:
    """Start the containers under a project name of their own, with a fresh volume, and log in to Airflow; print sizes and seconds."""
    sizes = subprocess.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for line in sizes:
        if f":{os.environ['PERENNIAL_TAG']} " in line:
            say(line)
    began = time.monotonic()
    try:
        compose("up", "--detach", "--wait", "--wait-timeout", "600")
        say(f"healthy after {time.monotonic() - began:.0f} s")
        password = compose("exec", "-T", "airflow-api", "cat", "/var/lib/perennial/secrets/airflow_admin").strip()
        with AirflowClient(f"http://127.0.0.1:{AIRFLOW_PORT}", password) as client:
            yield client
    finally:
        began = time.monotonic()
        compose("down", "--volumes", "--timeout", "40")
        say(f"down after {time.monotonic() - began:.0f} s")


def test_every_part_is_healthy_and_listens_to_this_machine_alone(stack: AirflowClient) -> None:
    parts = [json.loads(line) for line in compose("ps", "--format", "json").splitlines()]
    assert {part["Service"]: part["Health"] for part in parts} == dict.fromkeys(
        ["net", "s3", "postgres", "metastore", "spark-master", "spark-worker", "airflow-api", "airflow-scheduler",
         "airflow-dag-processor", "airflow-triggerer", "server"],
        "healthy",
    )  # fmt: skip
    published = {one["URL"] for part in parts for one in part["Publishers"] or [] if one["PublishedPort"]}
    assert published == {"127.0.0.1"}


@pytest.mark.parametrize("part", ["server", "spark-worker"])
def test_what_users_or_queries_reach_sees_the_stores_keys_alone(stack: AirflowClient, part: str) -> None:
    look = "import os; print([os.path.join(at, name) for at, _, names in os.walk('/var/lib') for name in names if 'perennial' in at])"
    assert compose("exec", "-T", part, "python", "-c", look).strip() == "['/var/lib/perennial-keys/aws_credentials']"


def test_the_demo_runs_green_for_two_dates_and_the_model_answers(stack: AirflowClient) -> None:
    stack.wait_for_dag(DAG)
    stack.unpause(DAG)
    for first, last in ((date(2013, 1, 1), FIRST), (SECOND, SECOND)):
        compose("exec", "-T", "airflow-scheduler", "perennial", "feed", "--from", str(first), "--to", str(last))
        run_id = stack.trigger(DAG, {"date": last.isoformat()})
        began = time.monotonic()
        state, tasks = stack.wait(DAG, run_id, RUN_SECONDS)
        say(f"{last}: {state} after {time.monotonic() - began:.0f} s")
        assert state == "success", {task.name: stack.log(DAG, run_id, task) for task in tasks if task.state == "failed"}
    answer = httpx.post(f"http://127.0.0.1:{ENDPOINT_PORT}/predict", json=[flight_record(SECOND)], trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["x-release"].startswith(SECOND.isoformat())
