"""The Kubernetes runtime: what a training's pod is. Nothing here talks to a cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.errors import RefusedError
from perennial.lake.layout import lake_root
from perennial.pipeline import Resources

STORAGE_SECRET = "perennial-storage"  # noqa: S105  the Secret's name
STORAGE_FOLDER = "/var/run/secrets/perennial"
CREDENTIALS_KEY = "aws_credentials"
LABELS = {"app.kubernetes.io/managed-by": "perennial", "app.kubernetes.io/component": "training"}
USER = 10001
MOST_LABEL_CHARACTERS = 63


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Where pods run and what they reach; KUBECONFIG, or the pod that this process runs in, says which cluster."""

    namespace: str
    trainer_image: str
    s3_endpoint: str | None
    region: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> KubernetesSettings:
        """Read PERENNIAL_TRAINER_IMAGE, PERENNIAL_KUBERNETES_NAMESPACE and PERENNIAL_KUBERNETES_S3_ENDPOINT."""
        image = environment.get("PERENNIAL_TRAINER_IMAGE")
        if not image:
            raise RefusedError(
                "Training in pods needs PERENNIAL_TRAINER_IMAGE, the image of the trainer",
                remedy="`make images` builds it and prints its name; push it to where the cluster pulls from.",
            )
        return cls(
            namespace=environment.get("PERENNIAL_KUBERNETES_NAMESPACE") or "perennial-training",
            trainer_image=image,
            s3_endpoint=environment.get("PERENNIAL_KUBERNETES_S3_ENDPOINT") or environment.get("AWS_ENDPOINT_URL_S3"),
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
        )


def pod_name(pipeline: str, candidate: str, key: str) -> str:
    """
    Return the one name of the pod of one training: the API server then refuses a second one.

    It is made of the training's key, never of a try or a run: whoever wants this model finds this pod.
    """
    readable = re.sub("[^a-z0-9]+", "-", f"train-{pipeline}-{candidate}".lower()).strip("-")
    return f"{readable[: MOST_LABEL_CHARACTERS - 17].rstrip('-')}-{key[:16]}"


def training_pod(settings: KubernetesSettings, resources: Resources, name: str, pipeline: str, job_uri: str) -> dict[str, Any]:
    """
    Return the manifest of a training's pod, admitted by Pod Security *restricted*.

    Storage credentials come from a Secret as files, never from the environment; there is no service-account token.
    """
    limits: dict[str, Any] = {"cpu": resources.cpu, "memory": resources.memory}
    if resources.gpus:
        limits[resources.gpu_name] = str(resources.gpus)
    environment = {
        "AWS_SHARED_CREDENTIALS_FILE": f"{STORAGE_FOLDER}/{CREDENTIALS_KEY}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        **({"AWS_ENDPOINT_URL_S3": settings.s3_endpoint} if settings.s3_endpoint else {}),
        "PERENNIAL_LAKE": lake_root(),
        "HOME": "/tmp",  # noqa: S108  the pod's own
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": settings.namespace,
            "labels": {**LABELS, "app.kubernetes.io/name": name, "perennial/pipeline": pipeline},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": resources.node_selector,
            "tolerations": [one.model_dump(exclude_none=True) for one in resources.tolerations],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "base",
                    "image": settings.trainer_image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": ["--job", job_uri],
                    "env": [{"name": key, "value": value} for key, value in environment.items()],
                    "resources": {"requests": limits, "limits": limits},
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "storage", "mountPath": STORAGE_FOLDER, "readOnly": True},
                        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                    ],
                }
            ],
            "volumes": [
                {"name": "storage", "secret": {"secretName": STORAGE_SECRET, "defaultMode": 0o440}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


def why_failed(pod: Mapping[str, Any], events: list[Mapping[str, Any]]) -> list[str]:
    """Return what the cluster says about a pod that did not do its work: its container, its conditions, its events."""
    status = pod.get("status") or {}
    found = []
    if status.get("reason"):
        found.append(f"pod {status.get('phase')}: {status['reason']}: {status.get('message') or ''}".rstrip(": "))
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            found.append(f"{condition.get('reason')}: {condition.get('message')}")
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        if waiting := state.get("waiting"):
            found.append(f"container waits: {waiting.get('reason')}: {waiting.get('message') or ''}".rstrip(": "))
        if (ended := state.get("terminated")) and ended.get("exitCode") != 0:
            limit = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory")
            hit = f" at its memory limit of {limit}" if ended.get("reason") == "OOMKilled" else ""
            found.append(f"container ended with {ended.get('exitCode')}: {ended.get('reason')}{hit}")
            if ended.get("message"):
                found.append("its last lines:\n    " + ended["message"].strip().replace("\n", "\n    "))
    found += [f"event {event.get('reason')}: {event.get('message')}" for event in events if event.get("type") == "Warning"]
    return list(dict.fromkeys(found))
