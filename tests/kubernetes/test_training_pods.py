"""Trainings in pods: the lab's models, and what becomes of pods that fail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from kube import kubectl
from kubernetes import client, config
from lab import LAST, START, Lab

from perennial.deploy import janitor
from perennial.deploy.janitor import clean_up
from perennial.errors import PerennialError
from perennial.lake.identity import lake_mark
from perennial.runtime.pod_training import PodTrainer
from perennial.runtime.training_pod import TRAININGS, pod_name
from perennial.train.plan import finish_training, plan_training
from perennial.train.work import plan_work
from perennial_airflow.operators import train_pod
from perennial_airflow.operators.train_pod import TrainPodOperator

NAMESPACE = "perennial-training"
DAG = "retrain_machine_faults"
CANDIDATE = "logistic"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@dataclass
class Cluster:
    api: Any

    def pods(self) -> dict[str, Any]:
        found = self.api.list_namespaced_pod(NAMESPACE, label_selector="app.kubernetes.io/managed-by=perennial").items
        return {pod.metadata.name: pod for pod in found if pod.metadata.deletion_timestamp is None}


@pytest.fixture
def cluster(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster, its operator reading the lab's lake."""
    _lake(monkeypatch, lab)
    config.load_kube_config()
    return Cluster(client.CoreV1Api())


def _lake(monkeypatch: pytest.MonkeyPatch, lab: Lab, **resources: Any) -> None:
    """Let the operator see the lab's pipeline, with other resources."""
    training = lab.pipeline.training
    changed = training.model_copy(update={"resources": training.resources.model_copy(update=resources)})
    lake = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"training": changed}))
    monkeypatch.setattr(train_pod, "lake_of", lambda _: lake)


@dataclass
class Driven:
    """A training's operator, driven as Airflow drives it: execute, the trigger, then back, in this process."""

    pushed: dict[str, Any] = field(default_factory=dict)
    before_trigger: Callable[[], None] = lambda: None

    def run(self, candidate: str, day: date = LAST, *, recompute: bool = True) -> dict[str, Any]:
        from airflow.sdk.exceptions import TaskDeferred

        own = day.isoformat()
        operator = TrainPodOperator(task_id="train", pipeline="machine_faults", day=own, until=own, candidate=candidate)
        operator.poll_interval, operator.startup_check_interval_seconds = 0.5, 1
        context = {"params": {"recompute": recompute}, "ti": self._task_instance(), "run_id": "driven", "dag": SimpleNamespace()}
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


def test_deleted_pod_is_made_again(lab: Lab, cluster: Cluster) -> None:
    name = pod_name("machine_faults", "mlp", str(plan_training(lab.lake, LAST, "mlp").key), lake_mark(lab.lake.objects))
    deleted: list[str] = []

    def delete_once() -> None:
        if not deleted:
            deleted.append(cluster.pods()[name].metadata.uid)
            cluster.api.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)

    result = Driven(before_trigger=delete_once).run("mlp")

    assert result["outcome"] == "done"
    assert len(deleted) == 1
    assert cluster.pods() == {}


def test_a_training_begins_behind_the_policy_that_limits_its_connections(
    lab: Lab, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_KUBERNETES_EGRESS", "0.0.0.0/0, kubernetes.io/metadata.name=minio")
    try:
        assert Driven().run("logistic")["outcome"] == "done"
        policies = client.NetworkingV1Api().list_namespaced_network_policy(NAMESPACE).items
        (policy,) = [policy for policy in policies if "Egress" in policy.spec.policy_types]
        assert policy.spec.pod_selector.match_labels == TRAININGS
        assert [peer.ip_block.cidr for peer in policy.spec.egress[1].to if peer.ip_block] == ["0.0.0.0/0"]
    finally:
        kubectl("-n", NAMESPACE, "delete", "networkpolicy", "perennial-training-egress", "--ignore-not-found")


def test_second_task_of_one_training_follows_the_same_pod(lab: Lab, cluster: Cluster) -> None:
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


def test_what_a_killed_task_started_is_followed_by_its_next_try(lab: Lab, cluster: Cluster) -> None:
    seen: list[str] = []

    def kill() -> None:
        seen.extend(pod.metadata.uid for pod in cluster.pods().values())
        raise Killed

    with pytest.raises(Killed):
        Driven(before_trigger=kill).run("logistic")
    followed = Driven(before_trigger=lambda: seen.extend(pod.metadata.uid for pod in cluster.pods().values()))
    assert followed.run("logistic")["outcome"] == "done"
    assert len(set(seen)) == 1
    assert cluster.pods() == {}


def test_missing_image_is_quoted(lab: Lab, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_TRAINER_IMAGE", "perennial-trainer:never-built")
    _lake(monkeypatch, lab, start_seconds=10)

    with pytest.raises(PerennialError, match=r"perennial-trainer:never-built"):
        Driven().run("logistic")
    assert cluster.pods() == {}


def test_memory_limit_is_quoted(lab: Lab, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _lake(monkeypatch, lab, memory="64Mi")

    with pytest.raises(PerennialError, match=r"OOMKilled at its memory limit of 64Mi"):
        Driven().run("mlp")
    assert cluster.pods() == {}


def test_pod_that_no_node_takes_is_explained(lab: Lab, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _lake(monkeypatch, lab, gpus=1, schedule_seconds=10)

    with pytest.raises(PerennialError, match=r"Insufficient nvidia.com/gpu"):
        Driven().run("logistic")
    assert cluster.pods() == {}


def test_date_with_too_little_history_is_skipped(lab: Lab, cluster: Cluster) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="3 of 8 days"):
        Driven().run("mlp", START + timedelta(days=2))


def from_a_shell(lab: Lab) -> None:
    """Train as `perennial run` does."""
    _, work = plan_work(lab.lake, LAST, CANDIDATE)
    if work is not None:
        PodTrainer(lab.lake).train(work)


def test_two_shells_that_want_one_model_share_its_pod(lab: Lab, cluster: Cluster) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(from_a_shell, lab) for _ in range(2)]
    assert [one.result() for one in both] == [None, None]
    assert finish_training(lab.lake, plan_training(lab.lake, LAST, CANDIDATE)).outcome == "unchanged"
    wait_for_none(cluster)


def test_a_shell_that_was_interrupted_hurts_neither_another_nor_the_next(
    lab: Lab, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PodTrainer._pass_on

    def interrupted(*arguments: Any) -> int:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return real(*arguments)

    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patched:
        patched.setattr(PodTrainer, "_pass_on", interrupted)
        with pytest.raises(KeyboardInterrupt):
            from_a_shell(lab)  # it made the pod
        other = pool.submit(from_a_shell, lab)
        time.sleep(1)
        with pytest.raises(KeyboardInterrupt):
            from_a_shell(lab)  # it followed the other's
        assert other.result() is None
    assert finish_training(lab.lake, plan_training(lab.lake, LAST, CANDIDATE)).outcome == "unchanged"
    wait_for_none(cluster)


def test_a_shell_makes_an_evicted_pod_again(lab: Lab, cluster: Cluster) -> None:
    evicted: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        shell = pool.submit(from_a_shell, lab)
        while not evicted and not shell.done():
            for name in cluster.pods():
                target = client.V1ObjectMeta(name=name, namespace=NAMESPACE)
                cluster.api.create_namespaced_pod_eviction(name, NAMESPACE, client.V1Eviction(metadata=target))
                evicted.append(name)
        assert shell.result() is None
    assert len(evicted) == 1
    wait_for_none(cluster)


def test_pod_that_nobody_waits_for_any_more_is_an_orphan(lab: Lab, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _lake(monkeypatch, lab, gpus=1, schedule_seconds=12)

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        Driven(before_trigger=kill).run(CANDIDATE)
    (left,) = cluster.pods()
    assert clean_up([lab.lake]) == []  # a task may still wait for its node
    with monkeypatch.context() as patched:
        patched.setattr(janitor, "ENDED_FOR", -timedelta(hours=2))
        assert [one.name for one in clean_up([lab.lake], dry_run=True)] == [left]

    # With resources that the cluster has, the next try does not wait for what the killed one asked for.
    _lake(monkeypatch, lab, gpus=0)
    assert Driven().run(CANDIDATE)["outcome"] == "done"
    wait_for_none(cluster)


def test_the_command_line_trains_in_the_same_pod(lab: Lab, cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    plan, work = plan_work(lab.lake, LAST, CANDIDATE)
    assert work is not None
    with caplog.at_level("INFO", logger="perennial.runtime.pod_training"):
        PodTrainer(lab.lake).train(work)
    assert finish_training(lab.lake, plan).outcome == "done"
    assert "Training logistic of" in caplog.text
    wait_for_none(cluster)


def test_the_command_line_quotes_a_pod_that_fails(lab: Lab, cluster: Cluster) -> None:
    settings = lab.pipeline.training
    small = settings.model_copy(update={"resources": settings.resources.model_copy(update={"memory": "64Mi"})})
    lake = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"training": small}))
    _, work = plan_work(lake, LAST, CANDIDATE)
    assert work is not None
    with pytest.raises(PerennialError, match="OOMKilled at its memory limit of 64Mi"):
        PodTrainer(lake).train(work)
    wait_for_none(cluster)


def wait_for_none(cluster: Cluster) -> None:
    deadline = time.monotonic() + 60
    while cluster.pods():
        assert time.monotonic() < deadline
        time.sleep(0.5)
