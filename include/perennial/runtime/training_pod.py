"""The manifest of a training pod. Nothing here talks to a cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence

from perennial.config.pipeline import Resources
from perennial.config.values import bytes_of
from perennial.runtime.kubernetes import LAKE_LABEL, MANAGED_BY, Body, KubernetesSettings, restricted_pod
from perennial.runtime.trainer import TrainerLimits, trainer_arguments, trainer_variables
from perennial.store.content_name import canonical_json, sha256

MAX_LABEL_CHARACTERS = 63
TRAININGS = {"app.kubernetes.io/managed-by": MANAGED_BY, "app.kubernetes.io/component": "training"}
"""The labels of every training pod."""

NOT_ITS_FAULT = frozenset(
    {"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "UnexpectedAdmissionError"}
)
"""Reasons that show that the node failed, not the training: the pod is created again."""

_LIMITS_OF_STORAGE = ("EmptyDir volume", "ephemeral storage limit", "ephemeral local storage usage exceeds")
"""Parts of a kubelet's messages about a pod that it evicts because the pod itself took more disk than it may."""

SCRATCH_RESERVE = 256 * 2**20
"""
Bytes of a pod's temporary volume beside its scratch: what libraries write, and the rest of the last block of each file.

So the trainer meets its own limit first, and says what was found. A kubelet only evicts the pod.
"""

MAX_RESTARTS = 5
SPEC = "perennial/spec"
"""Annotation with a digest of the pod's spec: resources, image, environment. The jobs are left out: they depend on the run."""

START_SECONDS = "perennial/start-seconds"
"""Annotation with the seconds in which the pod must begin. After that no caller waits for it."""


def pod_name(pipeline: str, candidate: str, key: str, lake_mark: str) -> str:
    """
    Return the only name that a training's pod may have, so that the API server refuses a second pod.

    The name contains the training's fingerprint, never a try or a run: every caller that wants this model finds this pod.
    Another lake has another name.
    """
    readable = re.sub("[^a-z0-9]+", "-", f"train-{pipeline}-{candidate}".lower()).strip("-")
    return f"{readable[: MAX_LABEL_CHARACTERS - 22].rstrip('-')}-{key[:16]}-{lake_mark[:4]}"


def training_pod(
    settings: KubernetesSettings, resources: Resources, name: str, pipeline: str, job_uris: Sequence[str], row_ms: float
) -> Body:
    """
    Return the manifest of a pod that trains one job after another, admitted by Pod Security *restricted*.

    :param row_ms: the time that a model may take for one row, in ms
    """
    scratch = bytes_of(resources.pod_scratch)
    variables = {**settings.variables(), **trainer_variables(TrainerLimits(scratch, row_ms))}
    limits: dict[str, str] = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        limits[resources.gpu_name] = str(resources.gpus)
    container = {
        "name": "base",
        "image": settings.named_image(),
        "args": trainer_arguments(job_uris),
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        # The volume limits the disk, and the request finds a node that has it. A limit would count logs, too.
        "resources": {"requests": {**limits, "ephemeral-storage": resources.pod_scratch}, "limits": limits},
    }
    labels = {**TRAININGS, "app.kubernetes.io/name": name, "perennial/pipeline": pipeline, LAKE_LABEL: settings.lake_mark}
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": resources.run_seconds,
        "nodeSelector": resources.node_selector,
        "tolerations": [toleration.model_dump(exclude_none=True) for toleration in resources.tolerations],
        **restricted_pod(container, tmp={"sizeLimit": str(scratch + SCRATCH_RESERVE)}),
    }
    annotations = {
        SPEC: sha256(canonical_json({**spec, "containers": [{**spec["containers"][0], "args": []}]}))[:12],
        START_SECONDS: str(resources.schedule_seconds + resources.start_seconds),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": labels, "annotations": annotations},
        "spec": spec,
    }


def training_policy(settings: KubernetesSettings) -> Body:
    """Return the policy that lets trainings connect to DNS and the object store only."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "perennial-training-egress", "namespace": settings.namespace, "labels": TRAININGS},
        "spec": {"podSelector": {"matchLabels": TRAININGS}, "policyTypes": ["Egress"], "egress": settings.egress()},
    }


def is_lost(found: Body) -> bool:
    """Return whether a pod failed by its node's fault. A pod that is evicted because it filled its own disk would do so again."""
    return found["status"].get("reason") in NOT_ITS_FAULT and not filled_its_disk(found)


def filled_its_disk(found: Body) -> bool:
    """Return whether a pod was evicted because it took more disk than its limit."""
    message = found["status"].get("message") or ""
    return found["status"].get("reason") == "Evicted" and any(part in message for part in _LIMITS_OF_STORAGE)


def waits_in_vain(found: Body, wanted: Body) -> bool:
    """Return whether an existing pod has not begun and its spec differs from the wanted one, so that it may never begin."""
    annotations = found["metadata"].get("annotations") or {}
    return found["status"].get("phase") == "Pending" and bool(annotations.get(SPEC) != wanted["metadata"]["annotations"][SPEC])
