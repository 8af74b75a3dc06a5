"""Prints every kind of object that Perennial applies to a cluster, as YAML: python tests/support/render_manifests.py > FILE."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

from perennial.config.deployment import Autoscaling, Deployment
from perennial.config.pipeline import Resources
from perennial.runtime.kubernetes import Body, KubernetesSettings
from perennial.runtime.serving_objects import pipeline_objects, release_objects, service
from perennial.runtime.training_pod import training_pod, training_policy

PIPELINE, RELEASE = "flight_delays", "2013-02-12-0123456789ab"
SERVING = KubernetesSettings(
    "perennial-serving",
    "https://s3.example.com",
    "us-east-1",
    "registry.example.com/perennial-server:1",
    trusted_keys={"0123456789abcdef.pem": "-----BEGIN PUBLIC KEY-----\n"},
    clients=[{"ipBlock": {"cidr": "10.0.0.0/8"}}],
)
TRAINING = KubernetesSettings(
    "perennial-training",
    None,
    "us-east-1",
    "registry.example.com/perennial-trainer:1",
    store=[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "minio"}}}],
)


def all_objects() -> list[Body]:
    """Return the objects of a release that scales, and the pod of a training with a GPU."""
    scaled = Deployment(autoscaling=Autoscaling(max_replicas=3))
    return [
        *pipeline_objects(SERVING, PIPELINE),
        *release_objects(SERVING, scaled, PIPELINE, "main", RELEASE),
        service(SERVING, PIPELINE, RELEASE),
        training_policy(TRAINING),
        training_pod(
            TRAINING, Resources(gpus=1), "train-flight-delays", PIPELINE, ["s3://perennial/main/flight_delays/jobs/1.json"], 50
        ),
    ]


def as_documents(objects: Iterable[Body]) -> str:
    """Return YAML documents in JSON's syntax, where each string has quotes: PyYAML writes 331698957e42 plain, a number to Go."""
    return "".join(f"---\n{json.dumps(one, indent=2)}\n" for one in objects)


if __name__ == "__main__":
    sys.stdout.write(as_documents(all_objects()))
