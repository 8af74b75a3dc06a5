"""Training in pods, on the cluster that KUBECONFIG names: same bits as on the worker, and what becomes of pods that fail."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from perennial.calendar import DAY
from perennial.errors import PerennialError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.runtime.kubernetes import CREDENTIALS_KEY, STORAGE_SECRET, pod_name
from perennial.train.plan import plan_training

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG names no cluster: make test-kubernetes says more"),
]

PIPELINE = "machine_faults_pods"
DAG = f"retrain_{PIPELINE}"
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 6)
NAMESPACE = "perennial-training"
RUN_SECONDS = 600


class _Relay(socketserver.BaseRequestHandler):
    """Passes bytes between a pod and the stack's S3, which listens on 127.0.0.1 alone."""

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as upstream:  # type: ignore[attr-defined]
            back = threading.Thread(target=_pump, args=(upstream, self.request), daemon=True)
            back.start()
            _pump(self.request, upstream)
            back.join(timeout=60)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone: so does the other
        return


@contextmanager
def relayed(listen: tuple[str, int], target: tuple[str, int]) -> Iterator[None]:
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(listen, _Relay) as server:
        server.target = target  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@dataclass
class Cluster:
    api: Any

    def pods(self) -> dict[str, Any]:
        found = self.api.list_namespaced_pod(NAMESPACE, label_selector="app.kubernetes.io/managed-by=perennial").items
        return {pod.metadata.name: pod for pod in found if pod.metadata.deletion_timestamp is None}


@pytest.fixture(scope="module")
def cluster(stack, pod_environment: dict[str, str]) -> Iterator[Cluster]:
    """Install what a user's administrator would, and let pods reach the stack's S3."""
    from kubernetes import client, config

    config.load_kube_config()
    api = client.CoreV1Api()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    _present(api.create_namespace, {"metadata": {"name": NAMESPACE, "labels": labels}})
    secret = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).read_text()
    _gone(lambda: api.delete_namespaced_secret(STORAGE_SECRET, NAMESPACE))
    api.create_namespaced_secret(NAMESPACE, {"metadata": {"name": STORAGE_SECRET}, "stringData": {CREDENTIALS_KEY: secret}})
    address = urlsplit(pod_environment["PERENNIAL_KUBERNETES_S3_ENDPOINT"])
    with (
        relayed((str(address.hostname), int(address.port or 0)), ("127.0.0.1", stack.config.port("s3"))),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in pod_environment.items():
            patch.setenv(name, value)
        yield Cluster(api)


def _present(create: Callable[[Any], Any], body: Any) -> None:
    from kubernetes.client.exceptions import ApiException

    try:
        create(body)
    except ApiException as error:
        if error.status != 409:
            raise


def _gone(delete: Callable[[], Any]) -> None:
    from kubernetes.client.exceptions import ApiException

    try:
        delete()
    except ApiException as error:
        if error.status != 404:
            raise


@pytest.fixture(scope="module")
def lake(stack, cluster: Cluster) -> Lake:
    """Run one date through Airflow, its trainings in pods."""
    stack.airflow.wait_for_dag(DAG)
    stack.airflow.unpause(DAG)
    stack.land(PIPELINE, FIRST, LAST)
    run_id = stack.airflow.trigger(DAG, {"date": LAST.isoformat()})
    state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
    assert state == "success", {task.name: stack.airflow.log(DAG, run_id, task) for task in tasks if task.state == "failed"}
    return stack.lake(PIPELINE)


@dataclass
class Driven:
    """A training's operator, driven as Airflow drives it: execute, the trigger, then back, in this process."""

    pushed: dict[str, Any] = field(default_factory=dict)
    before_trigger: Callable[[], None] = lambda: None

    def run(self, candidate: str, day: date = LAST, *, recompute: bool = True) -> dict[str, Any]:
        from airflow.sdk.exceptions import TaskDeferred

        from perennial_airflow.operators.train_pod import TrainPodOperator

        operator = TrainPodOperator(task_id="train", pipeline=PIPELINE, day=day.isoformat(), candidate=candidate)
        operator.poll_interval, operator.startup_check_interval_seconds = 0.5, 1
        context = {"params": {"recompute": recompute}, "ti": self._task_instance(), "run_id": "driven"}
        step: Callable[[], None] = lambda: operator.execute(context)  # noqa: E731
        while True:
            try:
                step()
            except TaskDeferred as deferred:
                self.before_trigger()
                event = asyncio.run(_first(deferred.trigger.run()))
                step = lambda: operator.trigger_reentry(context, event)  # noqa: E731, B023
            else:
                return self.pushed["return_value"]

    def _task_instance(self) -> Any:
        push = lambda key, value: self.pushed.update({key: value})  # noqa: E731
        return SimpleNamespace(
            dag_id=DAG, task_id="train", run_id="driven", map_index=0, try_number=1, start_date=datetime.now(UTC), xcom_push=push
        )


async def _first(events: Any) -> dict[str, Any]:
    async for event in events:
        return event.payload
    raise AssertionError("the trigger ended without an event")


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


def test_no_pod_is_left_and_a_finished_training_starts_none(lake: Lake, cluster: Cluster) -> None:
    assert cluster.pods() == {}
    assert Driven().run("logistic", recompute=False)["outcome"] == "unchanged"
    assert cluster.pods() == {}


def test_deleted_pod_is_made_again(lake: Lake, cluster: Cluster) -> None:
    name = pod_name(PIPELINE, "mlp", str(plan_training(lake, LAST, "mlp").key))
    deleted: list[str] = []

    def delete_once() -> None:
        if not deleted:
            deleted.append(cluster.pods()[name].metadata.uid)
            cluster.api.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)

    result = Driven(before_trigger=delete_once).run("mlp")

    assert result["outcome"] == "done"
    assert len(deleted) == 1
    assert cluster.pods() == {}


def test_second_task_of_one_training_follows_the_same_pod(lake: Lake, cluster: Cluster) -> None:
    results: list[dict[str, Any]] = []
    seen: set[str] = set()

    def note() -> None:
        seen.update(pod.metadata.uid for pod in cluster.pods().values())

    threads = [threading.Thread(target=lambda: results.append(Driven(before_trigger=note).run("logistic"))) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join(timeout=120)

    assert [one["outcome"] for one in results] == ["done", "done"]
    assert len(seen) == 1
    assert cluster.pods() == {}


def test_missing_image_is_quoted(lake: Lake, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_TRAINER_IMAGE", "perennial-trainer:never-built")
    _with_resources(monkeypatch, start_seconds=10)

    with pytest.raises(PerennialError, match=r"perennial-trainer:never-built"):
        Driven().run("logistic")
    assert cluster.pods() == {}


def test_memory_limit_is_quoted(lake: Lake, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_resources(monkeypatch, memory="64Mi")

    with pytest.raises(PerennialError, match=r"OOMKilled at its memory limit of 64Mi"):
        Driven().run("mlp")
    assert cluster.pods() == {}


def test_pod_that_no_node_takes_is_explained(lake: Lake, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_resources(monkeypatch, gpus=1, schedule_seconds=10)

    with pytest.raises(PerennialError, match=r"Insufficient nvidia.com/gpu"):
        Driven().run("logistic")
    assert cluster.pods() == {}


def test_date_with_too_little_history_is_skipped(lake: Lake, cluster: Cluster) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="3 of 5 days"):
        Driven().run("mlp", FIRST + 2 * DAY)


def _with_resources(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let the operator see the pipeline with other resources."""
    from perennial_airflow.operators import train_pod

    original = train_pod.lake_of

    def changed(name: str) -> Lake:
        lake = original(name)
        training = lake.pipeline.training
        resources = training.resources.model_copy(update=changes)
        pipeline = lake.pipeline.model_copy(update={"training": training.model_copy(update={"resources": resources})})
        return replace(lake, pipeline=pipeline)

    monkeypatch.setattr(train_pod, "lake_of", changed)
