"""What a training's pod is. Nothing here talks to a cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from perennial.pipeline import Resources
from perennial.runtime.kubernetes import MANAGED_BY, KubernetesSettings, restricted_pod

MOST_LABEL_CHARACTERS = 63
TRAININGS = {"app.kubernetes.io/managed-by": MANAGED_BY, "app.kubernetes.io/component": "training"}
"""The labels of every training's pod."""


def pod_name(pipeline: str, candidate: str, key: str) -> str:
    """
    Return the one name of the pod of one training: the API server then refuses a second one.

    It is made of the training's key, never of a try or a run: whoever wants this model finds this pod.
    """
    readable = re.sub("[^a-z0-9]+", "-", f"train-{pipeline}-{candidate}".lower()).strip("-")
    return f"{readable[: MOST_LABEL_CHARACTERS - 17].rstrip('-')}-{key[:16]}"


def training_pod(
    settings: KubernetesSettings, resources: Resources, name: str, pipeline: str, job_uris: Sequence[str]
) -> dict[str, Any]:
    """Return the manifest of a pod that trains one job after another, admitted by Pod Security *restricted*."""
    limits: dict[str, Any] = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        limits[resources.gpu_name] = str(resources.gpus)
    container = {
        "name": "base",
        "image": settings.named_image(),
        "args": [word for uri in job_uris for word in ("--job", uri)],
        "env": [{"name": key, "value": value} for key, value in settings.variables().items()],
        "resources": {"requests": limits, "limits": limits},
    }
    labels = {**TRAININGS, "app.kubernetes.io/name": name, "perennial/pipeline": pipeline}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": resources.run_seconds,
            "nodeSelector": resources.node_selector,
            "tolerations": [one.model_dump(exclude_none=True) for one in resources.tolerations],
            **restricted_pod(container),
        },
    }
