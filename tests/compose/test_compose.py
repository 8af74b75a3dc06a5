"""The full stack in containers: it comes up healthy, runs the demo's DAG, also after an edit of columns, answers, and goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from perennial.backfill.airflow_client import AirflowClient
from perennial.config.load import FILE
from stack.config import PORTS, REPO
from stack.demo_flight import flight_record

pytestmark = [
    pytest.mark.skipif(not os.environ.get("PERENNIAL_TAG"), reason="make test-compose builds the images and names them"),
    pytest.mark.timeout(3600),  # three dates, and Spark's JVMs start for each of their stages
]

PIPELINE = "flight_delays"
DAG = f"retrain_{PIPELINE}"
BEGIN, FIRST, SECOND, EDITED = date(2013, 1, 1), date(2013, 2, 12), date(2013, 2, 13), date(2013, 2, 14)
PROJECT = "perennial-test"
AIRFLOW_PORT, ENDPOINT_PORT = "18080", "18090"
RUN_SECONDS = 1800
STAGES = ("clean", "analyse", "score")


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


def compose(*arguments: str, seconds: float = 1200) -> str:
    environment = {**os.environ, "PERENNIAL_AIRFLOW_PORT": AIRFLOW_PORT, "PERENNIAL_ENDPOINT_PORT": ENDPOINT_PORT}
    command = ["docker", "compose", "--project-name", PROJECT, *arguments]
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def perennial(*words: str) -> str:
    return compose("exec", "-T", "airflow-scheduler", "perennial", *words)


def run(airflow: AirflowClient, first: date, last: date) -> dict[str, Any]:
    """Land some dates and run the last of them; return the results of its Spark stages."""
    perennial("feed", "--from", str(first), "--to", str(last))
    airflow.wait_for_dag(DAG)  # on a busy machine Airflow may give up parsing an edited file, and has no DAG until it tries again
    run_id = airflow.trigger(DAG, {"date": last.isoformat()})
    began = time.monotonic()
    state, tasks = airflow.wait(DAG, run_id, RUN_SECONDS)
    say(f"{last}: {state} after {time.monotonic() - began:.0f} s")
    assert state == "success", {task.name: airflow.log(DAG, run_id, task) for task in tasks if task.state == "failed"}
    return {name: airflow.result(DAG, run_id, name) for name in STAGES if name in {task.task for task in tasks}}


def ask(day: date) -> str:
    """Ask the model for one flight and return the release that answered."""
    answer = httpx.post(f"http://127.0.0.1:{ENDPOINT_PORT}/predict", json=[flight_record(day)], trust_env=False)
    assert answer.status_code == 200
    return answer.headers["x-release"]


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy of the demo's pipeline that the containers mount, with the candidates that need other libraries each."""
    folder = tmp_path_factory.mktemp("mounted") / "pipelines"
    shutil.copytree(REPO / "include/pipelines", folder)
    file = folder / PIPELINE / FILE
    text = file.read_text()
    assert "candidates: [logistic, boosted, mlp, blend]" in text
    file.write_text(text.replace("candidates: [logistic, boosted, mlp, blend]", "candidates: [boosted, mlp, blend]"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_PIPELINES", str(folder))
        yield folder


@pytest.fixture(scope="module")
def stack(pipelines: Path) -> Iterator[AirflowClient]:
    """
    Start the containers under a project name of their own, with a fresh volume, and log in to Airflow.

    Print the sizes of the images, and the seconds that start and stop take.
    """
    sizes = subprocess.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for line in sizes:
        if f":{os.environ['PERENNIAL_TAG']} " in line:
            say(line)
    compose("down", "--volumes")  # of a run that was killed
    began = time.monotonic()
    try:
        try:
            compose("up", "--detach", "--wait", "--wait-timeout", "600")
        except AssertionError:
            say(compose("logs", "--no-color", "--tail", "25"))
            raise
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


def files_of(part: str) -> list[str]:
    """Return the files that a part sees where secrets can be."""
    look = (
        "import json, os; "
        "found = [os.path.join(at, name) for at, _, names in os.walk('/var/lib') for name in names if 'perennial' in at]; "
        "print(json.dumps(found))"
    )
    return sorted(json.loads(compose("exec", "-T", part, "python", "-c", look)))


def test_what_users_or_queries_reach_sees_the_keys_of_its_role_alone(stack: AirflowClient) -> None:
    keys = "/var/lib/perennial-keys"
    server = files_of("server")
    public = [file for file in server if file.startswith(f"{keys}/serving/trusted_keys/")]
    assert len(public) == 1
    assert server == sorted([f"{keys}/serving/aws_credentials", *public])
    assert files_of("spark-worker") == [f"{keys}/jobs/aws_credentials", f"{keys}/spark/spark.properties"]


def test_the_signing_key_is_where_tasks_sign_and_nowhere_else(stack: AirflowClient) -> None:
    key = "/var/lib/perennial-keys/signing/signing_key"
    assert [file for file in files_of("airflow-scheduler") if file.endswith("signing_key")] == [key]
    for part in ("s3", "postgres", "metastore", "airflow-api", "airflow-dag-processor", "airflow-triggerer"):
        assert [file for file in files_of(part) if file.endswith("signing_key")] == [], part


def open_of(part: str, *addresses: str) -> set[str]:
    """Return the addresses at which something accepts a connection from a part."""
    look = (
        "import json, socket, sys\n"
        "found = []\n"
        "for at in sys.argv[1:]:\n"
        "    host, port = at.split(':')\n"
        "    try:\n"
        "        socket.create_connection((host, int(port)), 2).close()\n"
        "        found.append(at)\n"
        "    except OSError:\n"
        "        pass\n"
        "print(json.dumps(found))"
    )
    return set(json.loads(compose("exec", "-T", part, "python", "-c", look, *addresses)))


def address_of(part: str) -> str:
    look = f"import socket; print(socket.gethostbyname('{part}'))"
    return compose("exec", "-T", part, "python", "-c", look).strip()


def test_a_model_server_reaches_the_object_store_and_no_inner_port(stack: AirflowClient) -> None:
    inner = [f"net:{PORTS[name]}" for name in ("postgres", "metastore")]
    inner += [f"s3:{PORTS[name]}" for name in ("filer", "filer-grpc", "master", "master-grpc", "volume", "volume-grpc")]
    spark = [f"{address_of('spark-master')}:7077", f"{address_of('spark-worker')}:8082", "spark-master:7077"]
    assert open_of("server", f"s3:{PORTS['s3']}", *inner, *spark) == {f"s3:{PORTS['s3']}"}


def test_a_spark_worker_reaches_the_object_store_its_master_and_no_inner_port(stack: AirflowClient) -> None:
    inner = [f"driver:{PORTS[name]}" for name in ("postgres", "metastore")]
    inner += [f"s3:{PORTS[name]}" for name in ("filer", "filer-grpc", "master", "master-grpc", "volume", "volume-grpc")]
    others = [f"{address_of('server')}:8090", "server:8090", "spark-master:8081"]
    reached = {f"s3:{PORTS['s3']}", "spark-master:7077"}
    assert open_of("spark-worker", *reached, *inner, *others) == reached


MORE_WORKER = "spark-class org.apache.spark.deploy.worker.Worker --host spark-worker --webui-port 0 --work-dir /tmp/other"
MASTER = "spark://spark-master:7077"
WITH_SECRET = "--properties-file /var/lib/perennial-keys/spark/spark.properties"
REGISTERED = "Successfully registered"


def log_of_worker(options: str, until: str, then: int = 0) -> str:
    """Start one more Spark worker, end it once its log holds a text, or after two minutes, and return the log."""
    script = (
        f"timeout 120 {MORE_WORKER} {options} {MASTER} > /tmp/other.log 2>&1 & started=$!\n"
        f"while kill -0 $started && ! grep -q '{until}' /tmp/other.log; do sleep 1; done\n"
        f"sleep {then}; kill $started; cat /tmp/other.log"
    )
    return compose("exec", "-T", "spark-worker", "sh", "-c", script)


def test_a_spark_master_takes_a_worker_that_knows_the_secret_and_no_other(stack: AirflowClient) -> None:
    assert REGISTERED in log_of_worker(WITH_SECRET, REGISTERED)
    connecting = "Connecting to master spark-master"
    stranger = log_of_worker("", connecting, then=10)
    assert connecting in stranger
    assert REGISTERED not in stranger


@pytest.fixture(scope="module")
def demo(stack: AirflowClient) -> None:
    """Run the demo's two dates."""
    stack.wait_for_dag(DAG)
    stack.unpause(DAG)
    for first, last in ((BEGIN, FIRST), (SECOND, SECOND)):
        run(stack, first, last)


def test_the_demo_runs_green_for_two_dates_and_the_model_answers(demo: None) -> None:
    assert ask(SECOND).startswith(SECOND.isoformat())


CLEAN_AS_A_BIG_DATE = """
import os, sys
from dataclasses import replace
from datetime import date
from perennial.clean.plan import plan_clean
from perennial.config.load import load_pipeline
from perennial.lake.lake import open_lake
from perennial.settings import load_environment
from perennial.spark.submit import submit
from perennial.store.content_name import canonical_json, sha256

load_environment()
os.mkdir("/tmp/events")
events = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.dir": "file:///tmp/events",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
    "spark.cores.max": "4",
    "spark.scheduler.minRegisteredResourcesRatio": "1",
}
lake = open_lake(load_pipeline(sys.argv[1]))
plan = plan_clean(lake, date.fromisoformat(sys.argv[2]), recompute=True)
job = lake.objects.read_existing(plan.job_uri).json()
job["tables"] = [table for table in job["tables"] if table["name"] == "flights"]
assert [table["big"] for table in job["tables"]] == [[sys.argv[2]]]
body = canonical_json(job)
lake.objects.create(lake.layout.job(sha256(body)), body)
submit(replace(plan, job_uri=lake.layout.job(sha256(body)), conf={**plan.conf, **events}), on_cluster=True)
for name in os.listdir("/tmp/events"):
    with open(f"/tmp/events/{name}") as file:
        sys.stdout.writelines(file)
"""
"""Cleans the flights of a date again, divided among tasks: the digest must be the same. Prints Spark's events."""


@pytest.fixture
def two_workers(stack: AirflowClient) -> Iterator[None]:
    """Start one more Spark worker, of two cores, beside the one of the stack."""
    more = f"timeout 600 {MORE_WORKER} --cores 2 --memory 2g {WITH_SECRET} {MASTER} > /tmp/second.log 2>&1"
    compose("exec", "--detach", "spark-worker", "sh", "-c", f"echo $$ > /tmp/second.pid; exec {more}")
    wait = f"timeout 120 sh -c 'until grep -q \"{REGISTERED}\" /tmp/second.log; do sleep 1; done' || (cat /tmp/second.log; false)"
    compose("exec", "-T", "spark-worker", "sh", "-c", wait)
    yield
    compose("exec", "-T", "spark-worker", "sh", "-c", "kill $(cat /tmp/second.pid)")


def test_two_workers_share_the_tasks_of_a_date(two_workers: None, demo: None) -> None:
    """The threshold is lowered: the flights of a day are cleaned as a big date, with the digest that a single task gave."""
    is_big = ("--env", "PERENNIAL_BIG_DATE_ROWS=100")
    program = ("python", "-c", CLEAN_AS_A_BIG_DATE, PIPELINE, SECOND.isoformat())
    said = compose("exec", "-T", *is_big, "airflow-scheduler", *program)
    events = [json.loads(line) for line in said.splitlines() if line.startswith('{"Event"')]
    ran = [event for event in events if event["Event"] == "SparkListenerTaskEnd"]
    executors: dict[int, set[str]] = {}
    for event in ran:
        executors.setdefault(event["Stage ID"], set()).add(event["Task Info"]["Executor ID"])
    assert {"0", "1"} in executors.values(), executors


def test_a_run_after_an_edit_of_columns_says_which_dates_have_nulls(stack: AirflowClient, demo: None, pipelines: Path) -> None:
    """Add a column that no drop holds, give another one a different type, and score; every date is cleaned again."""
    file = pipelines / PIPELINE / FILE
    document = yaml.safe_load(file.read_text())
    columns = document["sources"]["weather"]["columns"]
    columns["wind_dir"] = {"type": "string", "null_text": "NA"}
    columns["station"] = {"type": "string", "optional": True}
    document["scoring"] = {"table": "features"}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    query = pipelines / PIPELINE / "sources/weather.sql"
    query.write_text(query.read_text().replace("wind_dir,", "wind_dir, station,"))

    said = json.loads(perennial("impact", PIPELINE, "--json"))
    weather = next(one for one in said["scopes"][0]["effects"] if one["name"] == "clean_weather")
    reasons = {reason["what"] for day in weather["stale"] for reason in day["reasons"]}
    assert {"columns.station added", "columns.wind_dir.type changed"} <= reasons

    results = run(stack, EDITED, EDITED)
    assert results["clean"]["nulls"] == {"weather.station": (EDITED - BEGIN).days + 1}
    assert results["clean"]["earlier_columns"] == {}
    assert results["score"]["rows"] == {EDITED.isoformat(): results["analyse"]["rows"]["features"]}
    assert ask(EDITED).startswith(EDITED.isoformat())
