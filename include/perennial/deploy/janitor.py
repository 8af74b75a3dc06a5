"""Find what interrupted work left on the cluster, by label, report it and remove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from perennial.deploy.protocol import leftovers
from perennial.lake.identity import lake_mark
from perennial.lake.lake import Lake
from perennial.runtime.cluster import Cluster
from perennial.runtime.kubernetes import LAKE_LABEL, TRAINING, Body, KubernetesSettings
from perennial.runtime.kubernetes_serving import KubernetesRuntime
from perennial.runtime.training_pod import START_SECONDS, TRAININGS

ENDED_FOR = timedelta(hours=1)
"""Minimum time since the end of a pod that no task read. A task removes its pod within seconds."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A pod or release that is no longer needed."""

    kind: str
    name: str
    why: str


def clean_up(lakes: Sequence[Lake], *, dry_run: bool = False) -> list[Orphan]:
    """
    Remove training pods that no task waits for and releases that serve no one, and return what was found.

    :param lakes: at least one lake
    """
    orphans = []
    trainings = Cluster(KubernetesSettings.read(TRAINING).namespace)
    mark = lake_mark(lakes[0].objects)
    for pod in trainings.labelled("v1", "Pod", {**TRAININGS, LAKE_LABEL: mark}):
        if why := _explain_orphan(pod):
            orphans.append(Orphan("training pod", pod["metadata"]["name"], why))
            if not dry_run:
                trainings.delete({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]})
    for lake in lakes:
        runtime = KubernetesRuntime(lake.pipeline, lake.layout.space)
        for release in leftovers(lake, runtime):
            orphans.append(Orphan("release", f"{lake.pipeline.name} {release}", "it serves no one"))
            if not dry_run:
                runtime.remove(release)
    return orphans


def _explain_orphan(pod: Body) -> str | None:
    phase = pod["status"].get("phase")
    if phase in ("Succeeded", "Failed") and datetime.now(UTC) - _end_time(pod) > ENDED_FOR:
        return f"{phase}, and no task has read it"
    age = datetime.now(UTC) - datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    starts = timedelta(seconds=int((pod["metadata"].get("annotations") or {}).get(START_SECONDS, 0)))
    # Kubernetes never ends a pod that has no node.
    if phase == "Pending" and age > starts + ENDED_FOR:
        return f"Pending, and no task waits longer than {starts.total_seconds():.0f} s"
    return None


def _end_time(pod: Body) -> datetime:
    """Return the end time of the pod's container, or the creation time of a pod that never ran."""
    for container in pod["status"].get("containerStatuses") or []:
        if ended := (container.get("state") or {}).get("terminated"):
            return datetime.fromisoformat(ended["finishedAt"])
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
