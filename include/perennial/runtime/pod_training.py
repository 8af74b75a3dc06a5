"""Training in a pod from a shell; in Airflow an operator does the same with the same pod."""

from __future__ import annotations

import logging
import time
from typing import Any

from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.pipeline import Pipeline
from perennial.runtime.cluster import Body, Cluster
from perennial.runtime.kubernetes import TRAINING, KubernetesSettings, why_failed
from perennial.runtime.training_pod import pod_name, training_pod

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
ENDED = ("Succeeded", "Failed")


def train_in_pod(pipeline: Pipeline, candidate: str, key: str, job_uri: str) -> None:
    """
    Train a job in its pod and wait for it, passing on what it says; a pod that is there already is followed.

    The pod is taken away however this ends; it is left only where this process is killed, and then the next call finds it.

    :raises RefusedError: the trainer refused the job
    :raises PerennialError: the pod failed, or did not start in the time that `training.resources` allows
    """
    settings, resources = KubernetesSettings.read(TRAINING), pipeline.training.resources
    cluster = Cluster(settings.namespace)
    body = training_pod(settings, resources, pod_name(pipeline.name, candidate, key), pipeline.name, [job_uri])
    pod = _begin(cluster, body)
    said = 0
    deadline = time.monotonic() + resources.schedule_seconds + resources.start_seconds
    try:
        while (phase := pod["status"].get("phase")) not in ENDED:
            if phase == "Pending" and time.monotonic() > deadline:
                raise _failure(cluster, pod, "did not start in time")
            time.sleep(POLL_SECONDS)
            said = _pass_on(cluster, body, said)
            pod = _require(cluster, body)
        _pass_on(cluster, body, said)
        if phase == "Failed":
            raise _failure(cluster, pod, "failed")
    finally:
        cluster.delete(body)


def _begin(cluster: Cluster, body: Body) -> Body:
    found = cluster.read(body)
    if found is not None and found["status"].get("phase") == "Failed":
        cluster.delete(body, now=True)
        while cluster.read(body) is not None:
            time.sleep(POLL_SECONDS)
    elif found is not None:
        log.info("Pod %s is there already: it is followed", body["metadata"]["name"])
        return found
    return cluster.apply(body)


def _require(cluster: Cluster, body: Body) -> Body:
    pod = cluster.read(body)
    if pod is None:
        raise PerennialError(f"Pod {cluster.namespace}/{body['metadata']['name']} is gone before it ended. Run it again.")
    return pod


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
