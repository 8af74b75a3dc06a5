"""What a training's pod is. Nothing here talks to a cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence

from perennial.config.pipeline import Resources
from perennial.runtime.kubernetes import LAKE_LABEL, MANAGED_BY, Body, KubernetesSettings, restricted_pod
from perennial.store.objects import canonical_json, sha256

MAX_LABEL_CHARACTERS = 63
TRAININGS = {"app.kubernetes.io/managed-by": MANAGED_BY, "app.kubernetes.io/component": "training"}
"""The labels of every training's pod."""

NOT_ITS_FAULT = frozenset(
    {"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "UnexpectedAdmissionError"}
)
"""Reasons for which a pod's node failed it: it is made again."""

MAX_RESTARTS = 5
SPEC = "perennial/spec"
"""A digest of what the pod asks for: resources, image, environment; not of the jobs, whose list depends on the run."""

START_SECONDS = "perennial/start-seconds"
"""How long it may take to begin; after that nobody waits for it."""


def pod_name(pipeline: str, candidate: str, key: str, lake_mark: str) -> str:
    """
    Return the one name of the pod of one training: the API server then refuses a second one.

    It is made of the training's key, never of a try or a run: whoever wants this model finds this pod. Another lake has another.
    """
    readable = re.sub("[^a-z0-9]+", "-", f"train-{pipeline}-{candidate}".lower()).strip("-")
    return f"{readable[: MAX_LABEL_CHARACTERS - 22].rstrip('-')}-{key[:16]}-{lake_mark[:4]}"


def training_pod(settings: KubernetesSettings, resources: Resources, name: str, pipeline: str, job_uris: Sequence[str]) -> Body:
    """Return the manifest of a pod that trains one job after another, admitted by Pod Security *restricted*."""
    limits: dict[str, str] = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        limits[resources.gpu_name] = str(resources.gpus)
    container = {
        "name": "base",
        "image": settings.named_image(),
        "args": [word for uri in job_uris for word in ("--job", uri)],
        "env": [{"name": key, "value": value} for key, value in settings.variables().items()],
        "resources": {"requests": limits, "limits": limits},
    }
    labels = {**TRAININGS, "app.kubernetes.io/name": name, "perennial/pipeline": pipeline, LAKE_LABEL: settings.lake_mark}
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": resources.run_seconds,
        "nodeSelector": resources.node_selector,
        "tolerations": [one.model_dump(exclude_none=True) for one in resources.tolerations],
        **restricted_pod(container),
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


def waits_in_vain(found: Body, wanted: Body) -> bool:
    """Tell whether a pod that is there has not begun and asks for something else than what is wanted now: it may never begin."""
    annotations = found["metadata"].get("annotations") or {}
    return found["status"].get("phase") == "Pending" and bool(annotations.get(SPEC) != wanted["metadata"]["annotations"][SPEC])
