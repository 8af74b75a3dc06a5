"""Training in a pod from a shell; in Airflow an operator does the same with the same pod."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from perennial.config.pipeline import Pipeline, Resources
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.runtime.cluster import Cluster
from perennial.runtime.kubernetes import HOPELESS, TRAINING, Body, KubernetesSettings, waits_for, why_failed
from perennial.runtime.training_pod import MOST_RESTARTS, NOT_ITS_FAULT, pod_name, training_pod, waits_in_vain
from perennial.store.objects import Objects

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
FOUND_SECONDS = 120.0
TELL_SECONDS = 20.0
"""How often it says what a pod waits for."""


def train_in_pod(
    pipeline: Pipeline, candidate: str, key: str, job_uris: Sequence[str], objects: Objects, manifest_uri: str
) -> None:
    """
    Train jobs, one after another, in the pod of the last and wait for it, passing on what it says; a pod that is there already is followed.

    Who made the pod takes it away however this ends; it is left only where this process is killed, and then the next call finds
    it. One that is lost (evicted, deleted, its node gone) is made again.

    :param manifest_uri: what is there once the model is
    :raises RefusedError: the trainer refused the job
    :raises PerennialError: the pod failed, was lost again and again, or did not start in the time that `training.resources` allows
    """
    settings = KubernetesSettings.read(TRAINING).of(objects)
    resources = pipeline.training.resources
    cluster = Cluster(settings.namespace)
    name = pod_name(pipeline.name, candidate, key, settings.lake_mark)
    body = training_pod(settings, resources, name, pipeline.name, job_uris)
    for _ in range(1 + MOST_RESTARTS):
        pod, is_ours = _begin(cluster, body)
        try:
            ended = _follow(cluster, pod, resources)
        finally:
            if is_ours:
                cluster.delete(pod)
        if ended is not None:
            cluster.delete(pod)
            return
        if objects.exists(manifest_uri):
            log.info("Pod %s is gone, its model is there: another process has followed the same pod", name)
            return
        log.warning("Pod %s was lost: it is made again", name)
    raise PerennialError(f"Training pod {cluster.namespace}/{name} was lost {1 + MOST_RESTARTS} times. See `kubectl get nodes`.")


def _begin(cluster: Cluster, body: Body) -> tuple[Body, bool]:
    """Return the pod and whether this call made it; one that failed before, or can no longer begin, is replaced."""
    name = body["metadata"]["name"]
    deadline = time.monotonic() + FOUND_SECONDS
    while time.monotonic() < deadline:
        if (made := cluster.create(body)) is not None:
            return made, True
        found = cluster.read(body)
        if found is not None and not found["metadata"].get("deletionTimestamp"):
            if found["status"].get("phase") != "Failed" and not waits_in_vain(found, body):
                log.info("Pod %s is there already: it is followed", name)
                return found, False
            log.info("Pod %s failed before, or asks for what is no longer wanted; it is deleted and made again", name)
            cluster.delete(found, now=True)
        time.sleep(POLL_SECONDS)
    raise PerennialError(f"Pod {cluster.namespace}/{name} is still being deleted after {FOUND_SECONDS:.0f} s. Run it again.")


def _follow(cluster: Cluster, pod: Body, resources: Resources) -> Body | None:
    """Wait until exactly this pod has succeeded and return it; None when it was lost."""
    said = 0
    began = told = time.monotonic()
    scheduled: float | None = None
    found: Body | None = pod
    while found is not None and found["metadata"]["uid"] == pod["metadata"]["uid"]:
        phase = found["status"].get("phase")
        said = _pass_on(cluster, pod, said)
        if phase == "Succeeded":
            return found
        if phase == "Failed":
            if found["status"].get("reason") in NOT_ITS_FAULT:
                log.warning("%s", "; ".join(why_failed(found, [])))
                cluster.delete(found, now=True)
                return None
            raise _failure(cluster, found, "failed")
        if phase == "Pending":
            now = time.monotonic()
            if scheduled is None and "nodeName" in found["spec"]:
                scheduled = now
            if waits_for(found) & HOPELESS:
                raise _failure(cluster, found, "does not start")
            if scheduled is None and now - began > resources.schedule_seconds:
                raise _failure(
                    cluster, found, f"found no node in {resources.schedule_seconds} s (training.resources.schedule_seconds)"
                )
            if scheduled is not None and now - scheduled > resources.start_seconds:
                raise _failure(cluster, found, f"did not start in {resources.start_seconds} s (training.resources.start_seconds)")
            if now - told > TELL_SECONDS:
                told = now
                log.info(
                    "Pod waits: %s", "; ".join(why_failed(found, cluster.events(pod["metadata"]["name"]))) or "it is started"
                )
        time.sleep(POLL_SECONDS)
        found = cluster.read(pod)
    return None


def _pass_on(cluster: Cluster, body: Body, said: int) -> int:
    """Log the lines that are new; returns how many there are by now."""
    lines = cluster.log(body["metadata"]["name"])
    for line in lines[said:]:
        log.info("%s", line)
    return max(said, len(lines))


def _failure(cluster: Cluster, pod: Body, how: str) -> PerennialError:
    name = pod["metadata"]["name"]
    causes = why_failed(pod, cluster.events(name))
    ended: list[Any] = [(one.get("state") or {}).get("terminated") or {} for one in pod["status"].get("containerStatuses") or []]
    kind = RefusedError if any(one.get("exitCode") == REFUSED_EXIT_CODE for one in ended) else PerennialError
    return kind(f"Training pod {cluster.namespace}/{name} {how}", causes, "See docs/runbooks/training-pod-failed.md.")
