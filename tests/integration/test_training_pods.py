"""A whole run with its trainings in pods, on the cluster that KUBECONFIG names: the same bits as on the worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kube import install, kubectl, relayed

from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster: make test-kubernetes says more"),
]

PIPELINE = "machine_faults_pods"
DAG = f"retrain_{PIPELINE}"
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 6)
RUN_SECONDS = 600


@pytest.fixture(scope="module")
def cluster(stack, pod_environment: dict[str, str]) -> Iterator[None]:
    """Install what a user's administrator would, and let pods reach the stack's S3."""
    install(Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]))
    address = urlsplit(pod_environment["PERENNIAL_KUBERNETES_S3_ENDPOINT"])
    with (
        relayed((str(address.hostname), int(address.port or 0)), ("127.0.0.1", stack.config.port("s3"))),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in pod_environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def lake(stack, cluster: None) -> Lake:
    """Run one date through Airflow, its trainings in pods."""
    stack.airflow.wait_for_dag(DAG)
    stack.airflow.unpause(DAG)
    stack.land(PIPELINE, FIRST, LAST)
    run_id = stack.airflow.trigger(DAG, {"date": LAST.isoformat()})
    state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
    assert state == "success", {task.name: stack.airflow.log(DAG, run_id, task) for task in tasks if task.state == "failed"}
    return stack.lake(PIPELINE)


def test_pods_train_the_same_bits_as_the_worker(lake: Lake) -> None:
    decided = read_chain(lake).get(LAST)
    assert decided is not None
    perennial = str(Path(sys.executable).with_name("perennial"))
    done = subprocess.run(
        [perennial, "run", PIPELINE, "--date", LAST.isoformat(), "--recompute", "--json"],
        env={**os.environ, "PERENNIAL_RUNTIME": "process"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )

    # A training whose files differ from those that stand at its key is refused.
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)
    assert read_chain(lake).get(LAST) == decided
    assert kubectl("-n", "perennial-training", "get", "pods", "-o", "name") == ""
