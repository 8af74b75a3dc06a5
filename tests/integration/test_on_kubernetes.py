"""Whole runs with trainings in pods and models served by the cluster that KUBECONFIG names: the same bits as on the worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kube import install, kubectl, relayed

from perennial.calendar import days
from perennial.deploy.active import read_active
from perennial.deploy.protocol import read_golden
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.runtime.choice import open_runtime

pytestmark = pytest.mark.skipif(
    not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster: make test-kubernetes says more"
)

PIPELINE = "machine_faults_pods"
DAG = f"retrain_{PIPELINE}"
FIRST, LAST, NEXT = date(2026, 3, 1), date(2026, 3, 6), date(2026, 3, 7)
RUN_SECONDS = 600
PERENNIAL = str(Path(sys.executable).with_name("perennial"))
PODS_GONE_SECONDS = 120


@pytest.fixture(scope="module")
def cluster(stack, pod_environment: dict[str, str]) -> Iterator[None]:
    """Install what a user's administrator would, and let pods reach the stack's S3."""
    install(stack.config.credentials)
    address = urlsplit(pod_environment["PERENNIAL_KUBERNETES_S3_ENDPOINT"])
    with (
        relayed((str(address.hostname), int(address.port or 0)), ("127.0.0.1", stack.config.port("s3"))),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in pod_environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def lake(stack, cluster: None) -> Iterator[Lake]:
    """Run two dates through Airflow, trained in pods and served by the cluster."""
    stack.airflow.wait_for_dag(DAG)
    stack.airflow.unpause(DAG)
    for first, last in ((FIRST, LAST), (NEXT, NEXT)):
        stack.land(PIPELINE, first, last)
        run_id = stack.airflow.trigger(DAG, {"date": last.isoformat()})
        state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
        assert state == "success", {task.name: stack.airflow.log(DAG, run_id, task) for task in tasks if task.state == "failed"}
    yield stack.lake(PIPELINE)
    kubectl(
        "-n", "perennial-serving", "delete", "deployment,service,configmap,pdb,networkpolicy,serviceaccount", "-l", "app=model"
    )


def pods() -> str:
    return kubectl("-n", "perennial-training", "get", "pods", "-o", "name")


def _recompute(day: date) -> subprocess.CompletedProcess[str]:
    """Run a date again on this machine: a training whose files differ from those that stand at its key is refused."""
    return subprocess.run(
        [PERENNIAL, "run", PIPELINE, "--date", day.isoformat(), "--recompute", "--json"],
        env={**os.environ, "PERENNIAL_RUNTIME": "process"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def test_pods_train_the_same_bits_as_the_worker(lake: Lake) -> None:
    decided = read_chain(lake).entries
    assert list(decided) == [LAST.isoformat(), NEXT.isoformat()]
    for day in decided:
        done = _recompute(date.fromisoformat(day))
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)
    assert read_chain(lake).entries == decided
    assert pods() == ""


def test_a_waiting_training_that_is_failed_or_cleared_leaves_no_pod(lake: Lake, stack: Any) -> None:
    after = NEXT + timedelta(days=1)
    airflow = stack.airflow
    stack.land(PIPELINE, after, after)
    # With `recompute` there is a pod each time, also where one that was ended had trained by then.
    run_id = airflow.trigger(DAG, {"date": after.isoformat(), "recompute": True})

    def waits_for_a_pod() -> bool:
        # Before a triggerer has begun to look at a pod, only the janitor would end it. Its first look is in the task's log.
        trainings = [task for task in airflow.tasks(DAG, run_id) if task.task == "train"]
        waiting = [task for task in trainings if task.state == "deferred"]
        none_starts = all(task.state in ("deferred", "success") for task in trainings)
        looks = all(task.is_watched and "Checking pod" in airflow.log(DAG, run_id, task) for task in waiting)
        return bool(waiting) and none_starts and looks and pods() != ""

    stack.wait_for(waits_for_a_pod, RUN_SECONDS)
    airflow.fail(DAG, run_id)
    stack.wait_for(lambda: pods() == "", PODS_GONE_SECONDS)
    assert airflow.run_state(DAG, run_id) == "failed"
    airflow.clear(DAG, run_id, ["train"])
    stack.wait_for(waits_for_a_pod, RUN_SECONDS)
    airflow.clear(DAG, run_id, ["train"])
    state, tasks = airflow.wait(DAG, run_id, RUN_SECONDS)
    assert state == "success", {task.name: airflow.log(DAG, run_id, task) for task in tasks if task.state == "failed"}
    stack.wait_for(lambda: pods() == "", PODS_GONE_SECONDS)
    assert read_chain(lake).get(after) is not None


def test_a_batch_of_a_backfill_is_one_pod_a_candidate(lake: Lake, stack: Any) -> None:
    first, last = NEXT + timedelta(days=2), NEXT + timedelta(days=7)
    stack.land(PIPELINE, first, last)
    before = set(read_chain(lake).entries)
    command = [PERENNIAL, "backfill", PIPELINE, "--from", first.isoformat(), "--to", last.isoformat(), "--json"]
    seen: set[str] = set()
    backfill = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while backfill.poll() is None:
            seen |= set(pods().split())
        out, said = backfill.communicate(timeout=RUN_SECONDS)
    finally:
        backfill.kill()

    assert backfill.returncode == 0, out + said
    assert set(read_chain(lake).entries) - before == {day.isoformat() for day in days(first, last)}
    assert len(seen) == len(lake.pipeline.training.candidates), seen
    assert pods() == ""
    done = _recompute(last - timedelta(days=1))  # one of those that were trained ahead
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_cluster_serves_what_the_last_date_released(lake: Lake) -> None:
    active = read_active(lake)
    assert active.release is not None
    assert active.release.startswith(read_chain(lake).days[-1].isoformat())
    runtime = open_runtime(lake.pipeline)
    assert runtime.follows(active.release)
    with runtime.endpoint() as client:
        answer = client.post("/predict", json=list(read_golden(lake, active.release).records))
    assert (answer.status_code, answer.headers["x-release"]) == (200, active.release)
