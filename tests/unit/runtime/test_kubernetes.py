"""What a training's pod is, and what is said about one that failed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from perennial.config.pipeline import Resources, Toleration
from perennial.errors import RefusedError
from perennial.runtime.kubernetes import TRAINING, KubernetesSettings, why_failed
from perennial.runtime.training_pod import pod_name, training_pod, waits_in_vain

KEY = "0123456789abcdef" * 4
SETTINGS = KubernetesSettings("perennial-training", "http://10.0.0.1:8333", "us-east-1", "perennial-trainer:1")


def pod(**resources: Any) -> dict[str, Any]:
    return training_pod(SETTINGS, Resources(**resources), "train-x", "flights", ["s3://perennial/jobs/1.json"], 50)


@pytest.mark.parametrize("pipeline", ["a", "flight_delays", "x" * 63, "a_" * 31])
def test_name_is_one_that_kubernetes_takes_and_tells_keys_apart(pipeline: str) -> None:
    name = pod_name(pipeline, "mlp", KEY, "0a1b2c3d4e5f")

    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert name == pod_name(pipeline, "mlp", KEY, "0a1b2c3d4e5f")
    assert name != pod_name(pipeline, "mlp", "f" + KEY[1:], "0a1b2c3d4e5f")
    assert name != pod_name(pipeline, "mlp", KEY, "f" * 12)


@pytest.mark.parametrize("address", ["http://10.0.0.1:99999", "10.0.0.1:8333", "http://", "s3://lake"])
def test_store_that_is_no_address_is_refused_by_its_setting(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_KUBERNETES_S3_ENDPOINT", address)
    with pytest.raises(RefusedError, match="PERENNIAL_KUBERNETES_S3_ENDPOINT is"):
        KubernetesSettings.read(TRAINING)


def test_pod_asks_for_no_gpu_unless_told() -> None:
    assert "nvidia.com/gpu" not in str(pod())


def test_pod_that_waits_for_what_is_no_longer_wanted_is_known() -> None:
    waiting, running = {"status": {"phase": "Pending"}}, {"status": {"phase": "Running"}}

    assert waits_in_vain({**pod(gpus=1), **waiting}, pod())
    assert not waits_in_vain({**pod(), **waiting}, pod())
    assert not waits_in_vain({**pod(gpus=1), **running}, pod())


def test_one_pod_trains_several_jobs() -> None:
    found = training_pod(SETTINGS, Resources(), "train-x", "flights", ["s3://a/1.json", "s3://a/2.json"], 12.5)

    (container,) = found["spec"]["containers"]
    # An image of an earlier version ends at an argument that it does not know. It ignores the variable.
    assert container["args"] == ["--job", "s3://a/1.json", "--job", "s3://a/2.json"]
    assert {"name": "PERENNIAL_MAX_SCRATCH", "value": str(2 * 2**30)} in container["env"]
    assert {"name": "PERENNIAL_MAX_ROW_MS", "value": "12.5"} in container["env"]


def test_scratch_is_asked_for_and_limits_the_volume_for_temporary_files() -> None:
    spec = pod(scratch="10Gi")["spec"]

    container = spec["containers"][0]
    assert container["resources"]["requests"]["ephemeral-storage"] == "10Gi"
    assert "ephemeral-storage" not in container["resources"]["limits"]
    assert {"name": "PERENNIAL_MAX_SCRATCH", "value": str(10 * 2**30)} in container["env"]
    volume = next(item for item in spec["volumes"] if item["name"] == "tmp")
    # The trainer meets its own limit before the kubelet sees a larger volume.
    assert int(volume["emptyDir"]["sizeLimit"]) > 10 * 2**30


def test_gpus_memory_and_nodes_are_asked_for() -> None:
    spec = pod(gpus=2, memory="16Gi", node_selector={"pool": "gpu"}, tolerations=[Toleration(key="gpu")])["spec"]

    assert spec["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "16Gi", "nvidia.com/gpu": "2"}
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]


def test_no_key_is_in_the_environment_and_no_token_is_mounted() -> None:
    spec = pod()["spec"]

    assert spec["automountServiceAccountToken"] is False
    assert not [one["name"] for one in spec["containers"][0]["env"] if re.search("SECRET|KEY|TOKEN|PASSWORD", one["name"])]


def test_image_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERENNIAL_TRAINER_IMAGE", raising=False)
    with pytest.raises(RefusedError, match="PERENNIAL_TRAINER_IMAGE"):
        KubernetesSettings.read(TRAINING).named_image()


FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "memory": (
        {"containerStatuses": [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]},
        "container ended with 137: OOMKilled at its memory limit of 2Gi",
    ),
    "image": (
        {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]},
        "container waits: ErrImagePull: not found",
    ),
    "no node": (
        {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]},
        "Unschedulable: 0/3 nodes",
    ),
    "evicted": ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "pod Failed: Evicted: low on memory"),
}


@pytest.mark.parametrize("status", FAILURES)
def test_cause_is_quoted(status: str) -> None:
    found, expected = FAILURES[status]

    assert why_failed({**pod(), "status": found}, []) == [expected]


def test_warnings_are_quoted_once() -> None:
    warning = {"type": "Warning", "reason": "BackOff", "message": "pulling"}

    assert why_failed({**pod(), "status": {}}, [warning, warning, {"type": "Normal", "reason": "Pulled", "message": "x"}]) == [
        "event BackOff: pulling"
    ]


def test_finished_pod_has_nothing_to_say() -> None:
    assert why_failed({**pod(), "status": {"containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}}, []) == []
