"""
The operator that trains in a pod: PodTrainer's steps with a deferral between them.

The cluster is a stand-in (tests/support/scripted_cluster.py), and the provider's own part after a deferral is as each test says;
tests/kubernetes/test_training_pods.py drives the same operator on a real cluster.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException, TaskDeferred
from scripted_cluster import Fate, ScriptedCluster, exits, is_in, vanishes

from perennial.config.candidates import Mlp
from perennial.config.pipeline import Deployment, Resources
from perennial.errors import PerennialError, RefusedError
from perennial.lake.result import Outcome, Skipped
from perennial.runtime import pod_training
from perennial.runtime.kubernetes import KubernetesSettings
from perennial.runtime.trainer import TrainingWork
from perennial.runtime.training_pod import MAX_RESTARTS, SPEC
from perennial.train.plan import Trained, TrainingPlan
from perennial_airflow.operators import train_pod
from perennial_airflow.operators.train_pod import TrainPodOperator

MODEL = "s3://lake/models/own.json"
WORK = TrainingWork("mlp", "2026-03-14", "0123456789abcdef" * 4, [MODEL], ["s3://job"])
PLAN = TrainingPlan("mlp", skipped=None, job_uri="s3://job", manifest_uri=MODEL, unchanged=False, key=WORK.key)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A lake with the models in `written`, a cluster, a plan with its work, and results that are the manifest's address."""
    world = SimpleNamespace(
        written=set(), cluster=ScriptedCluster([is_in("Running")]), planned=(PLAN, WORK), skipped=None, search=None
    )
    calendar = SimpleNamespace(dates=lambda first, last: [first, last])
    training = SimpleNamespace(resources=Resources(), candidates={"mlp": Mlp()})
    pipeline = SimpleNamespace(name="p", training=training, deployment=Deployment(), calendar=calendar)

    def finish(_: Any, plan: TrainingPlan) -> Trained | Skipped:
        if plan.skipped or world.skipped:
            return Skipped(candidate=plan.candidate, reason=str(plan.skipped or world.skipped))
        return Trained(Outcome.DONE, plan.candidate, "v", str(plan.manifest_uri), {}, None, None, {}, [])

    lake = SimpleNamespace(pipeline=pipeline, objects=SimpleNamespace(exists=world.written.__contains__))
    monkeypatch.setattr(train_pod, "lake_of", lambda _: lake)
    monkeypatch.setattr(train_pod, "plan_search", lambda *_: world.search)
    monkeypatch.setattr(train_pod, "plan_work", lambda *_, **__: world.planned)
    monkeypatch.setattr(train_pod, "finish_training", finish)
    monkeypatch.setattr(pod_training, "Cluster", lambda _: world.cluster)
    monkeypatch.setattr(pod_training, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(KubernetesSettings, "of", lambda settings, _: replace(settings, lake_mark="0a1b2c3d4e5f"))
    monkeypatch.setenv("PERENNIAL_TRAINER_IMAGE", "perennial-trainer:1")
    return world


@pytest.fixture
def provider_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the provider end its part as it does for a pod that did not succeed."""

    def fail(operator: Any, context: Any, event: dict[str, Any]) -> None:
        raise AirflowException("Pod returned a failure.")

    monkeypatch.setattr(KubernetesPodOperator, "trigger_reentry", fail)


class Task:
    """The operator and the context of one try."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}
        self.operator = TrainPodOperator(
            task_id="train", pipeline="p", day="2026-03-14", until="2026-03-14", candidate="mlp", execution_timeout=None
        )
        self.operator.__dict__["hook"] = SimpleNamespace(is_in_cluster=False)
        ti = SimpleNamespace(
            dag_id="d", task_id="train", run_id="r", map_index=0, try_number=1, start_date=datetime.now(UTC), xcom_push=self._push
        )
        self.context: Any = {"params": {"recompute": False}, "ti": ti, "run_id": "r", "dag": SimpleNamespace()}

    def _push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def defer(self) -> dict[str, Any]:
        """Execute until the task defers; return what its trigger hands back."""
        with pytest.raises(TaskDeferred) as deferred:
            self.operator.execute(self.context)
        return event_of(deferred.value)


def event_of(deferred: TaskDeferred) -> dict[str, Any]:
    trigger: Any = deferred.trigger
    return {"name": trigger.pod_name, "namespace": trigger.pod_namespace, "message": "pod failed", **trigger.trigger_kwargs}


def test_it_makes_a_pod_with_airflows_labels_and_ours_and_waits_deferred(world: SimpleNamespace) -> None:
    event = Task().defer()
    (pod,) = world.cluster.made
    assert pod["metadata"]["name"] == event["name"]
    assert {"dag_id", "run_id", "perennial/pipeline", "perennial/lake"} <= pod["metadata"]["labels"].keys()
    assert SPEC in pod["metadata"]["annotations"]
    assert pod["spec"]["containers"][0]["args"] == ["--job", "s3://job"]
    assert (event["work"], event["restarts"]) == (asdict(WORK), 0)


def test_another_task_that_wants_the_same_model_follows_the_pod(world: SimpleNamespace) -> None:
    assert Task().defer()["name"] == Task().defer()["name"]
    assert len(world.cluster.made) == 1


def test_a_pod_that_failed_before_is_replaced(world: SimpleNamespace) -> None:
    world.cluster.fates = [exits(1), is_in("Running")]
    world.cluster.create(pod_training.PodTrainer(train_pod.lake_of("p")).make_body(WORK))
    Task().defer()
    assert [pod["metadata"]["uid"] for pod in world.cluster.made] == ["uid-0", "uid-1"]


def test_the_result_is_that_of_the_model_that_the_pod_was_told_to_train(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task()
    event = task.defer()
    monkeypatch.setattr(KubernetesPodOperator, "trigger_reentry", lambda *_: None)
    world.planned = (replace(PLAN, manifest_uri="s3://lake/models/of-today.json"), None)
    task.operator.trigger_reentry(task.context, event)
    assert (task.pushed["return_value"]["outcome"], task.pushed["return_value"]["manifest"]) == ("done", MODEL)


def test_a_search_for_parameters_has_a_pod_of_its_own_before_that_of_the_training(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.search = replace(WORK, key="fedcba9876543210" * 4, jobs=["s3://search"], is_search=True)
    task = Task()
    event = task.defer()
    monkeypatch.setattr(KubernetesPodOperator, "trigger_reentry", lambda *_: None)
    with pytest.raises(TaskDeferred) as deferred:
        task.operator.trigger_reentry(task.context, event)
    assert [pod["spec"]["containers"][0]["args"] for pod in world.cluster.made] == [
        ["--job", "s3://search"],
        ["--job", "s3://job"],
    ]
    task.operator.trigger_reentry(task.context, event_of(deferred.value))
    assert task.pushed["return_value"]["manifest"] == MODEL


@pytest.mark.parametrize("lost", [is_in("Failed", reason="Evicted"), vanishes], ids=["evicted", "deleted"])
@pytest.mark.usefixtures("provider_fails")
def test_a_lost_pod_is_made_again_and_counted(world: SimpleNamespace, lost: Fate) -> None:
    task = Task()
    event = task.defer()
    lost(world.cluster, world.cluster.pods[event["name"]])
    with pytest.raises(TaskDeferred) as deferred:
        task.operator.trigger_reentry(task.context, event)
    assert event_of(deferred.value)["restarts"] == 1
    assert [pod["metadata"]["uid"] for pod in world.cluster.made] == ["uid-0", "uid-1"]


@pytest.mark.usefixtures("provider_fails")
def test_a_pod_that_is_lost_again_and_again_fails_the_task(world: SimpleNamespace) -> None:
    task = Task()
    event = task.defer()
    world.cluster.pods.clear()
    with pytest.raises(PerennialError, match="was lost 6 times"):
        task.operator.trigger_reentry(task.context, {**event, "restarts": MAX_RESTARTS})


@pytest.mark.usefixtures("provider_fails")
def test_a_lost_pod_whose_model_is_there_is_done(world: SimpleNamespace) -> None:
    task = Task()
    event = task.defer()
    world.cluster.pods.clear()
    world.written.add(MODEL)
    task.operator.trigger_reentry(task.context, event)
    assert task.pushed["return_value"]["outcome"] == "done"


@pytest.mark.parametrize(
    ("fate", "kind", "cause"),
    [
        (exits(1, "no such bucket"), PerennialError, "no such bucket"),
        (exits(65, "too few rows"), RefusedError, "too few rows"),
        (is_in("Running"), PerennialError, "failed: pod failed. See docs/runbooks"),
    ],
    ids=["failed", "refused", "the cluster says nothing"],
)
@pytest.mark.usefixtures("provider_fails")
def test_a_failure_quotes_its_cause(world: SimpleNamespace, fate: Fate, kind: type, cause: str) -> None:
    world.written.add(MODEL)  # of an earlier training: it says nothing about this one
    task = Task()
    event = task.defer()
    fate(world.cluster, world.cluster.pods[event["name"]])
    with pytest.raises(PerennialError, match=cause) as failure:
        task.operator.trigger_reentry(task.context, event)
    assert type(failure.value) is kind
    assert "return_value" not in task.pushed


@pytest.mark.usefixtures("provider_fails")
def test_a_failure_ahead_leaves_a_date_that_is_trained_alone(world: SimpleNamespace) -> None:
    world.written.add(MODEL)
    world.planned = (PLAN, replace(WORK, jobs=["s3://job", "s3://ahead"], has_ahead=True))
    task = Task()
    event = task.defer()
    exits(1, "killed at the second")(world.cluster, world.cluster.pods[event["name"]])
    task.operator.trigger_reentry(task.context, event)
    assert task.pushed["return_value"]["outcome"] == "done"


def test_nothing_is_started_for_a_model_that_is_there(world: SimpleNamespace) -> None:
    world.planned = (replace(PLAN, job_uri=None, unchanged=True), None)
    task = Task()
    task.operator.execute(task.context)
    assert task.pushed["return_value"]["manifest"] == MODEL
    assert world.cluster.made == []


def test_a_training_that_its_rows_do_not_allow_skips_the_task(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()
    event = task.defer()
    monkeypatch.setattr(KubernetesPodOperator, "trigger_reentry", lambda *_: None)
    world.skipped = "the training window has 9 rows, all of them negative"
    with pytest.raises(AirflowSkipException, match="all of them negative"):
        task.operator.trigger_reentry(task.context, event)
    assert task.pushed["return_value"]["outcome"] == "skipped"


def test_too_little_history_skips_the_task(world: SimpleNamespace) -> None:
    world.planned = (replace(PLAN, skipped="2 of 5 days", job_uri=None, manifest_uri=None), None)
    with pytest.raises(AirflowSkipException, match="2 of 5 days"):
        Task().operator.execute(Task().context)
    assert world.cluster.made == []
