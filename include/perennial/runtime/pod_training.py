"""Training in pods."""

from __future__ import annotations

import logging
import time

from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.lake.lake import Lake
from perennial.runtime.cluster import Cluster
from perennial.runtime.kubernetes import HOPELESS, TRAINING, Body, KubernetesSettings, waits_for, why_failed
from perennial.runtime.trainer import TrainingWork, trainer_error
from perennial.runtime.training_pod import (
    MAX_RESTARTS,
    filled_its_disk,
    is_lost,
    pod_name,
    training_pod,
    training_policy,
    waits_in_vain,
)

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
FOUND_SECONDS = 120.0
TELL_SECONDS = 20.0
"""Interval between log lines that say what a pod is waiting for."""


class PodTrainer:
    """
    Trains in a pod named after the training, so that two callers that want the same models share one pod.

    `train` takes all steps and waits. A caller that waits in another way, such as a deferred Airflow task, takes the steps
    itself: make_body, begin, look until the pod has ended, end. If end reports a lost pod, it calls begin again.
    """

    def __init__(self, lake: Lake) -> None:
        self._objects = lake.objects
        self._pipeline = lake.pipeline
        self._settings = KubernetesSettings.read(TRAINING)
        self._cluster = Cluster(self._settings.namespace)

    def train(self, work: TrainingWork) -> None:
        """
        Train the jobs one after another in one pod and pass on its log. If the pod exists already, follow it.

        The call that created the pod deletes it in every case. Only a killed process leaves it behind, and the next call finds
        it. A pod that does not start within the time that `training.resources` allows has failed.
        """
        body = self.make_body(work)
        for restarts in range(1 + MAX_RESTARTS):
            pod, is_ours = self.begin(body)
            try:
                last, how = self._follow(pod)
            finally:
                if is_ours:
                    self._cluster.delete(pod)
            if self.end(work, pod, last, how=how, restarts=restarts):
                return

    def make_body(self, work: TrainingWork) -> Body:
        """Return the manifest of the pod."""
        family = self._pipeline.training.candidates[work.candidate].family
        settings = KubernetesSettings.read(TRAINING, family).of(self._objects)
        name = pod_name(self._pipeline.name, work.candidate, work.key, settings.lake_mark)
        resources, row_ms = self._pipeline.training.resources, self._pipeline.deployment.p99_ms
        return training_pod(settings, resources, name, self._pipeline.name, work.jobs, row_ms)

    def begin(self, body: Body) -> tuple[Body, bool]:
        """Return the pod and whether this call created it. A pod that failed before, or can no longer begin, is replaced."""
        name = body["metadata"]["name"]
        if self._settings.store is not None:
            self._cluster.apply(training_policy(self._settings))
        deadline = time.monotonic() + FOUND_SECONDS
        while time.monotonic() < deadline:
            if (created := self._cluster.create(body)) is not None:
                return created, True
            existing = self._cluster.read(body)
            if existing is not None and not existing["metadata"].get("deletionTimestamp"):
                if existing["status"].get("phase") != "Failed" and not waits_in_vain(existing, body):
                    log.info("Pod %s exists already (%s): following it", name, existing["status"].get("phase"))
                    return existing, False
                log.info("Pod %s failed before, or waits with outdated settings: deleting it and creating it again", name)
                self._cluster.delete(existing, now=True)
            time.sleep(POLL_SECONDS)
        raise PerennialError(f"Pod {self._title(body)} is still being deleted after {FOUND_SECONDS:.0f} s. Run it again.")

    def look(self, pod: Body) -> Body | None:
        """Return the pod in its current state, or None if it no longer exists. If `pod` has a UID, look only for that pod."""
        current = self._cluster.read(pod)
        is_another = current is not None and pod["metadata"].get("uid") not in (None, current["metadata"]["uid"])
        return None if is_another else current

    def end(
        self, work: TrainingWork, pod: Body, found: Body | None, *, how: str = "failed", hint: str = "", restarts: int = 0
    ) -> bool:
        """
        Delete a pod that has ended or is no longer waited for. Return False if it was lost and must be created again.

        :param found: the last observed state of the pod, None if it had been deleted
        :param how: how it failed
        :param hint: the cause, used if the cluster reports none
        :param restarts: number of times that it was created again so far
        :raises RefusedError: the trainer refused a job
        :raises PerennialError: the pod failed, or was lost too often
        """
        name = self._title(pod)
        if found is not None and found["status"].get("phase") == "Succeeded":
            self._cluster.delete(found)
            return True
        if found is not None and not is_lost(found):
            work.raise_unless_ahead(self._failure(work, found, how, hint), self._objects)
            return True
        causes = [] if found is None else self._causes(found)
        if found is not None:
            self._cluster.delete(found, now=True)
        if work.is_done(self._objects):
            log.info("Pod %s was deleted, but its model exists: another caller followed the same pod", name)
            return True
        if restarts >= MAX_RESTARTS:
            raise PerennialError(f"Training pod {name} was lost {1 + restarts} times", causes, "See `kubectl get nodes`.")
        log.warning("Pod %s was lost (%s): creating it again", name, "; ".join(causes) or "deleted")
        return False

    def _follow(self, pod: Body) -> tuple[Body | None, str]:
        """Wait until this pod has ended, or cannot start. Return its last observed state, and how it failed."""
        resources = self._pipeline.training.resources
        line_count = 0
        began = last_log = time.monotonic()
        scheduled: float | None = None
        found: Body | None = pod
        while found is not None:
            line_count = self._pass_on(pod, line_count)
            phase = found["status"].get("phase")
            if phase in ("Succeeded", "Failed"):
                return found, "failed"
            if phase == "Pending":
                now = time.monotonic()
                if scheduled is None and "nodeName" in found["spec"]:
                    scheduled = now
                if waits_for(found) & HOPELESS:
                    return found, "does not start"
                if scheduled is None and now - began > resources.schedule_seconds:
                    return found, f"found no node in {resources.schedule_seconds} s (training.resources.schedule_seconds)"
                if scheduled is not None and now - scheduled > resources.start_seconds:
                    return found, f"did not start in {resources.start_seconds} s (training.resources.start_seconds)"
                if now - last_log > TELL_SECONDS:
                    last_log = now
                    log.info("Pod is waiting: %s", "; ".join(self._causes(found)) or "it is starting")
            time.sleep(POLL_SECONDS)
            found = self.look(pod)
        return None, ""

    def _pass_on(self, pod: Body, line_count: int) -> int:
        """Log the new lines. Return the number of all lines."""
        lines = self._cluster.log(pod["metadata"]["name"])
        for line in lines[line_count:]:
            log.info("%s", line)
        return max(line_count, len(lines))

    def _failure(self, work: TrainingWork, pod: Body, how: str, hint: str) -> PerennialError:
        states: list[Body] = [container.get("state") or {} for container in pod["status"].get("containerStatuses") or []]
        ends: list[Body] = [state.get("terminated") or {} for state in states]
        kind = (
            RefusedError if REFUSED_EXIT_CODE in [end.get("exitCode") for end in ends] or filled_its_disk(pod) else PerennialError
        )
        title = f"Training of {work.candidate} for {work.day} in pod {self._title(pod)} {how}"
        errors = [trainer_error(end.get("exitCode"), (end.get("message") or "").splitlines()) for end in ends]
        if error := next(filter(None, errors), ""):
            return kind(error, details=f"{title}.")
        causes = self._causes(pod) or [hint] * bool(hint)
        return kind(title, causes, "See docs/runbooks/training-pod-failed.md.")

    def _causes(self, pod: Body) -> list[str]:
        """Return the causes that the cluster reports for this pod, not for another with its name."""
        events = self._cluster.events(pod["metadata"]["name"])
        return why_failed(pod, [event for event in events if event["involvedObject"].get("uid") == pod["metadata"]["uid"]])

    def _title(self, pod: Body) -> str:
        return f"{self._cluster.namespace}/{pod['metadata']['name']}"
