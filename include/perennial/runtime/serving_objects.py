"""The Kubernetes objects that serve a release. Nothing here talks to a cluster."""

from __future__ import annotations

from perennial.config.pipeline import Deployment
from perennial.runtime.kubernetes import (
    LAKE_LABEL,
    MANAGED_BY,
    TOKENS_FOLDER,
    TOKENS_SECRET,
    TRUSTED_KEYS_FOLDER,
    Body,
    KubernetesSettings,
    Mount,
    restricted_pod,
)
from perennial.store.content_name import canonical_json, sha256

PORT = 8080
DRAIN_SECONDS = 5
"""Time that a stopping pod keeps answering before SIGTERM. Meanwhile the cluster removes its endpoint."""

RELEASE_LABEL = "perennial/release"
PIPELINE_LABEL = "perennial/pipeline"
_MEMORY_LIMIT = {"resource": "limits.memory", "divisor": "1Mi"}


def service_name(pipeline: str) -> str:
    """Return the name of the Service that users call; pipeline names are letters, digits and underscores."""
    return pipeline.replace("_", "-").strip("-")


def release_name(pipeline: str, release: str) -> str:
    """Return the name of the objects of one release."""
    return f"{service_name(pipeline)}-{release}"


def labels(settings: KubernetesSettings, pipeline: str, release: str | None = None) -> dict[str, str]:
    """Return the labels of an object of a pipeline, or of one of its releases."""
    return {
        "app": "model",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/component": "serving",
        PIPELINE_LABEL: pipeline,
        LAKE_LABEL: settings.lake_mark,
        **({RELEASE_LABEL: release} if release else {}),
    }


def selector(pipeline: str, release: str) -> dict[str, str]:
    """Return the labels that select the pods of one release: the Service's selector is the switch."""
    return {"app": "model", PIPELINE_LABEL: pipeline, RELEASE_LABEL: release}


def pipeline_objects(settings: KubernetesSettings, pipeline: str) -> list[Body]:
    """Return the objects that all releases of a pipeline share, except the Service."""
    pods = {"matchLabels": {"app": "model", PIPELINE_LABEL: pipeline}}
    trusted = {**_head(settings, "v1", "ConfigMap", _keys_name(pipeline), pipeline), "data": dict(settings.trusted_keys)}
    return [
        # Pods see a changed ConfigMap within a minute or two: a rotation of keys restarts none of them.
        *([trusted] if settings.trusted_keys else []),
        {**_head(settings, "v1", "ServiceAccount", service_name(pipeline), pipeline), "automountServiceAccountToken": False},
        {
            # Even with one replica, one may be unavailable: a node drain must never be blocked.
            **_head(settings, "policy/v1", "PodDisruptionBudget", service_name(pipeline), pipeline),
            "spec": {"maxUnavailable": 1, "selector": pods},
        },
        {
            **_head(settings, "networking.k8s.io/v1", "NetworkPolicy", service_name(pipeline), pipeline),
            "spec": {
                "podSelector": pods,
                "policyTypes": ["Ingress", "Egress"],
                "ingress": settings.ingress(PORT),
                "egress": settings.egress(),
            },
        },
    ]


def release_objects(settings: KubernetesSettings, spec: Deployment, pipeline: str, space: str, release: str) -> list[Body]:
    """Return the objects of one release: ConfigMap, Deployment and, with autoscaling, HorizontalPodAutoscaler."""
    name = release_name(pipeline, release)
    container = {
        "name": "server",
        "image": settings.named_image(),
        "args": ["--pipeline", pipeline, "--space", space, "--release", release],
        "ports": [{"name": "http", "containerPort": PORT}],
        "envFrom": [{"configMapRef": {"name": name}}],
        # The server alone cannot know that no other process shares the limit of its cgroup.
        "env": [{"name": "PERENNIAL_SERVER_MEMORY_MIB", "valueFrom": {"resourceFieldRef": _MEMORY_LIMIT}}],
        "resources": {
            "requests": {"cpu": spec.cpu, "memory": spec.memory},
            "limits": {"memory": spec.memory},
        },
        "startupProbe": {**_probe("/v2/health/ready"), "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {**_probe("/v2/health/ready"), "periodSeconds": 2, "failureThreshold": 3},
        "livenessProbe": {**_probe("/v2/health/live"), "periodSeconds": 10, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    }
    deployment = {
        **_head(settings, "apps/v1", "Deployment", name, pipeline, release),
        "spec": {
            **({} if spec.autoscaling else {"replicas": spec.replicas}),
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 60,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": selector(pipeline, release)},
            "template": {
                # Pods do not pick up a changed ConfigMap; a changed annotation replaces them.
                "metadata": {
                    "labels": labels(settings, pipeline, release),
                    "annotations": {"perennial/settings": _digest(settings)},
                },
                "spec": {
                    "serviceAccountName": service_name(pipeline),
                    "terminationGracePeriodSeconds": 30,
                    **restricted_pod(container, _mounts(settings, pipeline)),
                },
            },
        },
    }
    config = {**_head(settings, "v1", "ConfigMap", name, pipeline, release), "data": settings.variables()}
    if spec.autoscaling is None:
        return [config, deployment]
    scaler = {
        **_head(settings, "autoscaling/v2", "HorizontalPodAutoscaler", name, pipeline, release),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": spec.replicas,
            "maxReplicas": spec.autoscaling.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": spec.autoscaling.cpu_percent},
                    },
                }
            ],
        },
    }
    return [config, deployment, scaler]


def _mounts(settings: KubernetesSettings, pipeline: str) -> list[Mount]:
    """Return the volumes of a model server: the public keys that it trusts and the tokens of predictions, if there are any."""
    keys = _keys_name(pipeline)
    trusted = Mount(keys, TRUSTED_KEYS_FOLDER, {"configMap": {"name": keys, "defaultMode": 0o444}})
    tokens = Mount("tokens", TOKENS_FOLDER, {"secret": {"secretName": TOKENS_SECRET, "defaultMode": 0o440}})
    return [*([trusted] if settings.trusted_keys else []), *([tokens] if settings.asks_token else [])]


def release_heads(settings: KubernetesSettings, pipeline: str, release: str) -> list[Body]:
    """Return the heads of all objects that a release may have, for their deletion."""
    name = release_name(pipeline, release)
    kinds = (("autoscaling/v2", "HorizontalPodAutoscaler"), ("apps/v1", "Deployment"), ("v1", "ConfigMap"))
    return [_head(settings, api_version, kind, name, pipeline, release) for api_version, kind in kinds]


def service(settings: KubernetesSettings, pipeline: str, release: str) -> Body:
    """Return the Service, set to one release."""
    return {
        **_head(settings, "v1", "Service", service_name(pipeline), pipeline),
        "spec": {
            "selector": selector(pipeline, release),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def _head(
    settings: KubernetesSettings, api_version: str, kind: str, name: str, pipeline: str, release: str | None = None
) -> Body:
    metadata = {"name": name, "namespace": settings.namespace, "labels": labels(settings, pipeline, release)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _keys_name(pipeline: str) -> str:
    return f"{service_name(pipeline)}-trusted-keys"


def _digest(settings: KubernetesSettings) -> str:
    return sha256(canonical_json(settings.variables()))[:12]


def _probe(path: str) -> Body:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 3}
