"""The steps of a training in a pod, on a stand-in for the cluster (tests/support/scripted_cluster.py)."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_cluster import Fate, ScriptedCluster, exits, is_in, vanishes

from perennial.config.candidates import Mlp, PyTorch
from perennial.config.pipeline import Deployment, Resources
from perennial.display.printed_error import mark_error
from perennial.errors import PerennialError, RefusedError
from perennial.runtime import pod_training
from perennial.runtime.kubernetes import KubernetesSettings
from perennial.runtime.pod_training import PodTrainer
from perennial.runtime.trainer import TrainingWork
from perennial.runtime.training_pod import MAX_RESTARTS

MODEL = "s3://perennial/models/one.json"
WORK = TrainingWork("mlp", "2026-03-14", "0123456789abcdef" * 4, [MODEL], ["s3://perennial/jobs/1.json"])
EVICTED = is_in("Failed", reason="Evicted", message="the node was low on memory")
MADE_AND_KEPT = is_in("Running")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> ScriptedCluster:
    found = ScriptedCluster([exits(0)])
    monkeypatch.setattr(pod_training, "Cluster", lambda _: found)
    monkeypatch.setattr(pod_training, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(KubernetesSettings, "of", lambda settings, _: replace(settings, lake_mark="0a1b2c3d4e5f"))
    monkeypatch.setenv("PERENNIAL_TRAINER_IMAGE", "perennial-trainer:1")
    return found


def open_trainer(written: set[str], **resources: Any) -> PodTrainer:
    """Return a trainer of a lake that has these models."""
    training = SimpleNamespace(resources=Resources(**resources), candidates={"mlp": Mlp(), "net": PyTorch()})
    pipeline = SimpleNamespace(name="flights", training=training, deployment=Deployment())
    lake: Any = SimpleNamespace(pipeline=pipeline, objects=SimpleNamespace(exists=written.__contains__))
    return PodTrainer(lake)


def test_a_pod_that_is_made_is_taken_away_when_it_has_ended(cluster: ScriptedCluster) -> None:
    open_trainer(set()).train(WORK)
    assert len(cluster.made) == 1
    assert cluster.pods == {}


def test_a_pod_begins_behind_the_policy_that_limits_its_connections(
    cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = open_trainer(set())
    trainer.begin(trainer.make_body(WORK))
    assert cluster.applied == []
    monkeypatch.setenv("PERENNIAL_KUBERNETES_EGRESS", "10.0.0.0/8")
    limited = open_trainer(set())
    limited.begin(limited.make_body(WORK))
    (policy,) = cluster.applied
    (pod,) = cluster.pods.values()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert {"ipBlock": {"cidr": "10.0.0.0/8"}} in policy["spec"]["egress"][1]["to"]


def test_a_pod_that_is_there_is_followed_and_left_to_its_maker(cluster: ScriptedCluster) -> None:
    cluster.fates = [MADE_AND_KEPT]
    trainer = open_trainer(set())
    body = trainer.make_body(WORK)
    made, is_ours = trainer.begin(body)
    followed, is_mine = trainer.begin(body)
    assert (is_ours, is_mine) == (True, False)
    assert followed["metadata"]["uid"] == made["metadata"]["uid"]


def test_other_jobs_for_the_same_models_share_the_pod_and_other_models_do_not(cluster: ScriptedCluster) -> None:
    trainer = open_trainer(set())
    name, same, other = (
        trainer.make_body(training)["metadata"]["name"]
        for training in (WORK, replace(WORK, jobs=["s3://a", "s3://b"]), replace(WORK, key="f" * 64))
    )
    assert name == same != other


def test_a_family_with_libraries_of_its_own_has_an_image_of_its_own(
    cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, work = open_trainer(set()), replace(WORK, candidate="net")
    with pytest.raises(RefusedError, match=r"(?s)PERENNIAL_TORCH_TRAINER_IMAGE is not set.*`make image-trainer-torch` builds it"):
        trainer.make_body(work)
    monkeypatch.setenv("PERENNIAL_TORCH_TRAINER_IMAGE", "perennial-trainer-torch:1")
    images = [trainer.make_body(some)["spec"]["containers"][0]["image"] for some in (WORK, work)]
    assert images == ["perennial-trainer:1", "perennial-trainer-torch:1"]


@pytest.mark.parametrize("found", [exits(1), EVICTED], ids=["failed", "evicted"])
def test_a_pod_that_failed_before_is_replaced(cluster: ScriptedCluster, found: Fate) -> None:
    cluster.fates = [found, exits(0)]
    trainer = open_trainer(set())
    cluster.create(trainer.make_body(WORK))
    trainer.train(WORK)
    assert [pod["metadata"]["uid"] for pod in cluster.made] == ["uid-0", "uid-1"]
    assert cluster.pods == {}


def test_a_pod_that_waits_for_other_resources_is_replaced_and_one_that_runs_is_followed(cluster: ScriptedCluster) -> None:
    cluster.fates = [is_in("Pending"), is_in("Running"), exits(0)]
    open_trainer(set(), gpus=1).begin(open_trainer(set(), gpus=1).make_body(WORK))
    trainer = open_trainer(set())
    assert trainer.begin(trainer.make_body(WORK))[1]
    assert not trainer.begin(open_trainer(set(), gpus=2).make_body(WORK))[1]


def test_a_pod_that_stays_in_deletion_is_told(cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_training, "FOUND_SECONDS", 0.01)
    cluster.fates = [lambda _, pod: pod["metadata"].update(deletionTimestamp="2026-03-14T00:00:00Z")]
    trainer = open_trainer(set())
    body = trainer.make_body(WORK)
    cluster.create(body)
    with pytest.raises(PerennialError, match="is still being deleted after 0 s"):
        trainer.begin(body)


@pytest.mark.parametrize("lost", [EVICTED, vanishes], ids=["evicted", "deleted"])
def test_a_lost_pod_is_made_again(cluster: ScriptedCluster, lost: Fate) -> None:
    cluster.fates = [lost, lost, exits(0)]
    open_trainer(set()).train(WORK)
    assert len(cluster.made) == 3
    assert cluster.pods == {}


def test_a_pod_that_is_lost_again_and_again_is_told_with_the_cause(cluster: ScriptedCluster) -> None:
    cluster.fates = [EVICTED]
    with pytest.raises(PerennialError, match="was lost 6 times: pod Failed: Evicted: the node was low on memory"):
        open_trainer(set()).train(WORK)
    assert len(cluster.made) == 1 + MAX_RESTARTS
    assert cluster.pods == {}


@pytest.mark.parametrize(
    "message",
    [
        'Usage of EmptyDir volume "tmp" exceeds the limit "2Gi". ',
        "Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. ",
        'Container base exceeded its local ephemeral storage limit "2Gi". ',
    ],
)
def test_a_pod_that_filled_its_own_disk_is_refused_and_not_made_again(cluster: ScriptedCluster, message: str) -> None:
    cluster.fates = [is_in("Failed", reason="Evicted", message=message)]
    with pytest.raises(RefusedError, match=re.escape(f"Evicted: {message}".strip())):
        open_trainer(set()).train(WORK)
    assert len(cluster.made) == 1
    assert cluster.pods == {}


def test_a_pod_whose_node_is_short_of_disk_is_made_again(cluster: ScriptedCluster) -> None:
    message = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 1Mi. "
    cluster.fates = [is_in("Failed", reason="Evicted", message=message), exits(0)]
    open_trainer(set()).train(WORK)
    assert len(cluster.made) == 2


def test_a_lost_pod_whose_models_are_there_is_done(cluster: ScriptedCluster) -> None:
    cluster.fates = [vanishes]
    open_trainer({MODEL}).train(WORK)
    assert len(cluster.made) == 1


def test_a_lost_pod_with_some_of_its_models_is_made_again(cluster: ScriptedCluster) -> None:
    cluster.fates = [vanishes, exits(0)]
    open_trainer({MODEL}).train(replace(WORK, manifests=[MODEL, "s3://perennial/models/two.json"]))
    assert len(cluster.made) == 2


def test_the_pod_of_another_caller_under_the_same_name_is_not_ours(cluster: ScriptedCluster) -> None:
    cluster.fates = [MADE_AND_KEPT]
    trainer = open_trainer(set())
    body = trainer.make_body(WORK)
    first, _ = trainer.begin(body)
    cluster.delete(first)
    second, _ = trainer.begin(body)
    assert trainer.look(first) is None
    assert trainer.look(second) == second
    assert trainer.look(body) == second


def test_a_failure_quotes_the_last_lines_and_the_events_of_this_pod_alone(cluster: ScriptedCluster) -> None:
    trainer = open_trainer(set())
    name = trainer.make_body(WORK)["metadata"]["name"]
    for uid, message in (("uid-0", "0/1 nodes are available"), ("of an earlier one", "of yesterday")):
        about = {"name": name, "uid": uid}
        cluster.said.append({"type": "Warning", "reason": "FailedScheduling", "message": message, "involvedObject": about})
    cluster.fates = [exits(1, "no such bucket")]
    with pytest.raises(PerennialError) as failure:
        trainer.train(WORK)
    text = str(failure.value)
    assert f"Training of mlp for 2026-03-14 in pod perennial-training/{name} failed" in text
    assert "no such bucket" in text
    assert "0/1 nodes are available" in text
    assert "of yesterday" not in text
    assert not isinstance(failure.value, RefusedError)
    assert cluster.pods == {}


def test_the_error_of_a_pod_begins_with_the_one_that_its_trainer_printed(cluster: ScriptedCluster) -> None:
    trainer = open_trainer(set())
    name = trainer.make_body(WORK)["metadata"]["name"]
    cluster.fates = [exits(65, "Training mlp of 2026-03-14: 900 rows\n" + mark_error("Refused: a\n- one problem"))]
    with pytest.raises(RefusedError) as failure:
        trainer.train(WORK)
    title = f"Training of mlp for 2026-03-14 in pod perennial-training/{name} failed."
    assert str(failure.value).splitlines() == ["Refused: a", "- one problem", title]


def test_a_killed_pod_has_no_error_of_its_own(cluster: ScriptedCluster) -> None:
    """An author's file may print a line that looks like one."""
    cluster.fates = [exits(137, "✗ a check of its own")]
    with pytest.raises(PerennialError, match=r"(?s)Training of mlp for 2026-03-14 in pod .*container ended with 137"):
        open_trainer(set()).train(WORK)


def test_a_job_that_is_refused_is_not_worth_another_try(cluster: ScriptedCluster) -> None:
    cluster.fates = [exits(65, "too few rows")]
    with pytest.raises(RefusedError, match="too few rows"):
        open_trainer(set()).train(WORK)


@pytest.mark.parametrize(
    ("fate", "how"),
    [
        (is_in("Pending"), r"found no node in 0 s \(training.resources.schedule_seconds\)"),
        (
            is_in("Pending", containerStatuses=[{"state": {"waiting": {"reason": "ErrImagePull"}}}]),
            "does not start: container waits",
        ),
    ],
    ids=["no node", "no image"],
)
def test_a_pod_that_does_not_start_is_told(cluster: ScriptedCluster, fate: Fate, how: str) -> None:
    cluster.fates = [fate]
    trainer = open_trainer(set())
    trainer._pipeline.training.resources = Resources().model_copy(update={"schedule_seconds": 0})
    with pytest.raises(PerennialError, match=how):
        trainer.train(WORK)
    assert cluster.pods == {}


def test_a_pod_on_a_node_that_does_not_start_is_told(cluster: ScriptedCluster) -> None:
    cluster.fates = [lambda _, pod: pod["spec"].update(nodeName="node-1")]
    trainer = open_trainer(set())
    trainer._pipeline.training.resources = Resources().model_copy(update={"start_seconds": 0})
    with pytest.raises(PerennialError, match=r"did not start in 0 s \(training.resources.start_seconds\)"):
        trainer.train(WORK)


def test_an_interrupted_call_takes_its_own_pod_away_and_no_other(
    cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    cluster.fates = [MADE_AND_KEPT]
    monkeypatch.setattr(cluster, "log", interrupt)
    trainer = open_trainer(set())
    with pytest.raises(KeyboardInterrupt):
        trainer.train(WORK)
    assert cluster.pods == {}
    cluster.create(trainer.make_body(WORK))
    with pytest.raises(KeyboardInterrupt):
        trainer.train(WORK)
    assert len(cluster.pods) == 1
