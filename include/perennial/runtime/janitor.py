"""What interrupted work left on the cluster: found by label, named, and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from perennial.pipeline import Pipeline
from perennial.runtime.cluster import Body, Cluster
from perennial.runtime.kubernetes import TRAINING, KubernetesSettings
from perennial.runtime.kubernetes_serving import KubernetesRuntime
from perennial.runtime.training_pod import TRAININGS

ENDED_FOR = timedelta(hours=1)
"""A pod that ended so long ago was never read: a task takes its pod away within seconds."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing that nobody waits for."""

    kind: str
    name: str
    why: str


def clean_up(pipelines: Sequence[Pipeline], *, dry_run: bool = False) -> list[Orphan]:
    """Take away training pods that ended long ago and releases that serve nobody; return what was found."""
    found = []
    trainings = Cluster(KubernetesSettings.read(TRAINING).namespace)
    for pod in trainings.labelled("v1", "Pod", TRAININGS):
        phase = pod["status"].get("phase")
        if phase in ("Succeeded", "Failed") and datetime.now(UTC) - _ended(pod) > ENDED_FOR:
            found.append(Orphan("training pod", pod["metadata"]["name"], f"{phase}, and no task has read it"))
            if not dry_run:
                trainings.delete({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]})
    for pipeline in pipelines:
        runtime = KubernetesRuntime(pipeline)
        for release in runtime.leftovers():
            found.append(Orphan("release", f"{pipeline.name} {release}", "it serves nobody"))
            if not dry_run:
                runtime.remove(release)
    return found


def _ended(pod: Body) -> datetime:
    """Return when the pod's container ended; one that never ran ended when it was made."""
    for container in pod["status"].get("containerStatuses") or []:
        if ended := (container.get("state") or {}).get("terminated"):
            return datetime.fromisoformat(ended["finishedAt"])
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
