"""Training in pods."""

from __future__ import annotations

import logging
import time
from typing import Any

from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.lake.lake import Lake
from perennial.runtime.cluster import Cluster
from perennial.runtime.kubernetes import HOPELESS, TRAINING, Body, KubernetesSettings, waits_for, why_failed
from perennial.runtime.trainer import TrainingWork
from perennial.runtime.training_pod import MAX_RESTARTS, NOT_ITS_FAULT, pod_name, training_pod, waits_in_vain

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
FOUND_SECONDS = 120.0
TELL_SECONDS = 20.0
"""How often it says what a pod waits for."""


class PodTrainer:
    """
    Trains in a pod of the training's name: two callers that want the same models share one pod.

    `train` takes the steps and waits. A caller that waits in another way, as an Airflow task that defers does, takes them itself:
    make_body, begin, look until it has ended, end; and begin again where end says that the pod was lost.
    """

    def __init__(self, lake: Lake) -> None:
        self._objects = lake.objects
        self._pipeline = lake.pipeline
        self._settings = KubernetesSettings.read(TRAINING)
        self._cluster = Cluster(self._settings.namespace)

    def train(self, work: TrainingWork) -> None:
        """
        Train the jobs one after another in one pod and pass on what it says; a pod that is there already is followed.

        The call that made the pod takes it away however this ends. Only a killed process leaves it, and the next call then finds
        it. A pod that does not start in the time that `training.resources` allows has failed.
        """
        body = self.make_body(work)
        for restarts in range(1 + MAX_RESTARTS):
            pod, is_ours = self.begin(body)
            try:
                found, how = self._follow(pod)
            finally:
                if is_ours:
                    self._cluster.delete(pod)
            if self.end(work, pod, found, how=how, restarts=restarts):
                return

    def make_body(self, work: TrainingWork) -> Body:
        """Return what is asked of the cluster: the manifest of the pod."""
        settings = self._settings.of(self._objects)
        name = pod_name(self._pipeline.name, work.candidate, work.key, settings.lake_mark)
        return training_pod(settings, self._pipeline.training.resources, name, self._pipeline.name, work.jobs)

    def begin(self, body: Body) -> tuple[Body, bool]:
        """Return the pod and whether this call made it; one that failed before, or can no longer begin, is replaced."""
        name = body["metadata"]["name"]
        deadline = time.monotonic() + FOUND_SECONDS
        while time.monotonic() < deadline:
            if (made := self._cluster.create(body)) is not None:
                return made, True
            found = self._cluster.read(body)
            if found is not None and not found["metadata"].get("deletionTimestamp"):
                if found["status"].get("phase") != "Failed" and not waits_in_vain(found, body):
                    log.info("Pod %s is there already (%s): it is followed", name, found["status"].get("phase"))
                    return found, False
                log.info("Pod %s failed before, or asks for what is no longer wanted; it is deleted and made again", name)
                self._cluster.delete(found, now=True)
            time.sleep(POLL_SECONDS)
        raise PerennialError(f"Pod {self._title(body)} is still being deleted after {FOUND_SECONDS:.0f} s. Run it again.")

    def look(self, pod: Body) -> Body | None:
        """Return the pod as it is now; None when it, or exactly the one whose UID is said, is gone."""
        found = self._cluster.read(pod)
        is_another = found is not None and pod["metadata"].get("uid") not in (None, found["metadata"]["uid"])
        return None if is_another else found

    def end(
        self, work: TrainingWork, pod: Body, found: Body | None, *, how: str = "failed", hint: str = "", restarts: int = 0
    ) -> bool:
        """
        Take away a pod that has ended or is no longer waited for; return False when it was lost and is to be made again.

        :param found: the pod as it was seen last, None where it was gone
        :param how: how it failed
        :param hint: the cause, where the cluster says none
        :param restarts: how often it was made again by now
        :raises RefusedError: the trainer refused a job
        :raises PerennialError: the pod failed, or was lost too often
        """
        name = self._title(pod)
        if found is not None and found["status"].get("phase") == "Succeeded":
            self._cluster.delete(found)
            return True
        if found is not None and found["status"].get("reason") not in NOT_ITS_FAULT:
            work.raise_unless_ahead(self._failure(work, found, how, hint), self._objects)
            return True
        causes = [] if found is None else self._causes(found)
        if found is not None:
            self._cluster.delete(found, now=True)
        if work.is_done(self._objects):
            log.info("Pod %s is gone, its model is there: another caller has followed the same pod", name)
            return True
        if restarts >= MAX_RESTARTS:
            raise PerennialError(f"Training pod {name} was lost {1 + restarts} times", causes, "See `kubectl get nodes`.")
        log.warning("Pod %s was lost (%s): it is made again", name, "; ".join(causes) or "deleted")
        return False

    def _follow(self, pod: Body) -> tuple[Body | None, str]:
        """Wait until exactly this pod has ended, or is not worth waiting for; return how it was seen last, and how it failed."""
        resources = self._pipeline.training.resources
        line_count = 0
        began = told = time.monotonic()
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
                if now - told > TELL_SECONDS:
                    told = now
                    log.info("Pod waits: %s", "; ".join(self._causes(found)) or "it is started")
            time.sleep(POLL_SECONDS)
            found = self.look(pod)
        return None, ""

    def _pass_on(self, pod: Body, line_count: int) -> int:
        """Log the lines that are new; returns how many there are by now."""
        lines = self._cluster.log(pod["metadata"]["name"])
        for line in lines[line_count:]:
            log.info("%s", line)
        return max(line_count, len(lines))

    def _failure(self, work: TrainingWork, pod: Body, how: str, hint: str) -> PerennialError:
        states: list[Body] = [one.get("state") or {} for one in pod["status"].get("containerStatuses") or []]
        codes: list[Any] = [(state.get("terminated") or {}).get("exitCode") for state in states]
        kind = RefusedError if REFUSED_EXIT_CODE in codes else PerennialError
        title = f"Training of {work.candidate} for {work.day} in pod {self._title(pod)} {how}"
        causes = self._causes(pod) or [hint] * bool(hint)
        return kind(title, causes, "See docs/runbooks/training-pod-failed.md.")

    def _causes(self, pod: Body) -> list[str]:
        """Return what the cluster says about exactly this pod."""
        events = self._cluster.events(pod["metadata"]["name"])
        return why_failed(pod, [event for event in events if event["involvedObject"].get("uid") == pod["metadata"]["uid"]])

    def _title(self, pod: Body) -> str:
        return f"{self._cluster.namespace}/{pod['metadata']['name']}"
