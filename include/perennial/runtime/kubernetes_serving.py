"""Serving on Kubernetes: a Deployment for each release, and the selector of one Service as the switch."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from functools import cached_property

import httpx

from perennial.access.token_file import add_token
from perennial.config.pipeline import Pipeline
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError, ReleaseUnprovenError
from perennial.runtime.base import StageFailedError
from perennial.runtime.cluster import Cluster
from perennial.runtime.kubernetes import HOPELESS, LAKE_LABEL, SERVING, Body, KubernetesSettings, waits_for, why_failed
from perennial.runtime.serving_objects import (
    PIPELINE_LABEL,
    PORT,
    RELEASE_LABEL,
    labels,
    pipeline_objects,
    release_heads,
    release_objects,
    selector,
    service,
    service_name,
)
from perennial.store.objects import Objects

log = logging.getLogger(__name__)

READY_SECONDS = 45.0
FOLLOW_SECONDS = 20.0
POLL_SECONDS = 0.5
STEADY_ANSWERS = 20
STEADY_SECONDS = 2.0
"""STEADY_ANSWERS in a row, or STEADY_SECONDS of answers, all from the new release, show that the proxies follow the selector."""

OUTAGE_SECONDS = 3.0
"""A Service that answered and then fails for this long has lost the release: users are waiting."""

UNKNOWN_FORMAT = "its manifest is not of format"
"""A part of a model server's error about a release that a later version wrote."""

LEFT_OVER = timedelta(hours=1)
"""A release of this age that serves no traffic was left by a deploy that was killed."""

LAST_LINES = 20


class KubernetesRuntime:
    """The release protocol's runtime on a cluster. Its objects are found by their labels; it keeps no state between calls."""

    name = "kubernetes"

    def __init__(self, pipeline: Pipeline, space: str = "main") -> None:
        """Prepare; nothing is contacted before the first use."""
        self.pipeline = pipeline
        self.space = space
        self._settings = KubernetesSettings.read(SERVING)
        self.cluster = Cluster(self._settings.namespace)
        self._staged: str | None = None

    @cached_property
    def settings(self) -> KubernetesSettings:
        """Return the settings of the pods, with the mark of their installation."""
        return self._settings.of(Objects())

    def plan(self, release: str) -> list[str]:
        """Return the changes that serving a release would make on the cluster, as a diff. The server only does a dry run."""
        lines = [line for body in self._objects(release) for line in self.cluster.diff(body)]
        return [*lines, *self.cluster.diff(service(self.settings, self.pipeline.name, release))]

    def stage(self, release: str) -> httpx.Client:
        """Create the release's Deployment beside the serving one, wait for all of its pods, and return a client of one pod."""
        self._refuse_foreign()
        log.info("Changes on the cluster, from a dry run on the server:\n%s", "\n".join(self.plan(release)))
        self._bring_up(release, self._objects(release), all_replicas=True)
        pod = next((pod for pod in self._pods(release) if _is_ready(pod)), None)
        if pod is None:
            raise ReleaseUnprovenError(f"Release {release}: its pods became ready, but now none is ready")
        self._staged = pod["metadata"]["name"]
        return self.cluster.http(f"pods/{self._staged}:{PORT}/proxy/", add_token)

    def staged_log(self) -> list[str]:
        """Return the last log lines of the staged server."""
        return self.cluster.log(self._staged, LAST_LINES) if self._staged else []

    def unstage(self) -> None:
        """Do nothing: the staged Deployment will serve, or `remove` deletes it."""

    def switch(self, release: str) -> None:
        """
        Ensure that a pod of the release is up, set the Service to it, and wait until all answers come from this release.

        A running Deployment is not changed: in a rollback, today's settings may be the reason why the newer release failed.
        One pod is enough for the switch: in a rollback users are waiting, and the cluster keeps starting the other pods.
        """
        self._refuse_foreign()
        if not self._is_up(release):
            self._bring_up(release, self._objects(release), all_replicas=False)
        self.cluster.apply(service(self.settings, self.pipeline.name, release))
        with self.endpoint() as client:
            self._follow(client, release)

    def _follow(self, client: httpx.Client, release: str) -> None:
        """Wait until all of the Service's answers come from the release."""
        began = time.monotonic()
        answered = since = None
        steady = 0
        while steady < STEADY_ANSWERS:
            answer, serving = _ask(client)
            now = time.monotonic()
            answered = now if serving else answered
            steady, since = (steady + 1, since or now) if serving == release else (0, None)
            if since and now - since > STEADY_SECONDS:
                return
            has_stopped = answered and now - answered > OUTAGE_SECONDS
            if has_stopped or now - began > FOLLOW_SECONDS:
                raise ReleaseUnprovenError(
                    f"Release {release}: {now - began:.0f} s after the switch the Service "
                    f"{service_name(self.pipeline.name)} answers from {serving or 'nothing'} ({answer})"
                )
            time.sleep(0 if steady else 0.1)

    def follows(self, release: str) -> bool:
        """Return whether the Service is set to the release, and the release has pods up."""
        return self._is_set_to(release) and self._is_up(release)

    def _is_up(self, release: str) -> bool:
        return _has_pods(self.cluster.read(_deployment_of(release_heads(self.settings, self.pipeline.name, release))))

    def _is_set_to(self, release: str) -> bool:
        # Compare only our part of the selector: labels that a person adds to it may select the same pods.
        current = self.cluster.read(service(self.settings, self.pipeline.name, release)) or {}
        present = current.get("spec", {}).get("selector") or {}
        return all(present.get(name) == value for name, value in selector(self.pipeline.name, release).items())

    def _refuse_foreign(self) -> None:
        """Refuse to take over the Service of another installation."""
        current = self.cluster.read(service(self.settings, self.pipeline.name, "")) or {"metadata": {}}
        mark = (current["metadata"].get("labels") or {}).get(LAKE_LABEL, self.settings.lake_mark)
        if mark != self.settings.lake_mark:
            name = f"Service {service_name(self.pipeline.name)} in {self.settings.namespace}"
            raise RefusedError(
                f"{name} serves from another lake ({LAKE_LABEL} is {mark}, this lake's is {self.settings.lake_mark})",
                remedy="Give each installation namespaces of its own (PERENNIAL_KUBERNETES_SERVING_NAMESPACE). To take it over: "
                f"kubectl -n {self.settings.namespace} label service {service_name(self.pipeline.name)} {LAKE_LABEL}-",
            )

    def remove(self, release: str) -> None:
        """Delete the objects of the release, but not if the Service is set to it."""
        if self._is_set_to(release):
            log.warning("The Service is set to release %s: it is not removed", release)
            return
        for body in release_heads(self.settings, self.pipeline.name, release):
            self.cluster.delete(body)

    def endpoint(self) -> httpx.Client:
        """Return a client of the Service through the API server, which picks a ready pod for each request."""
        return self.cluster.http(f"services/{service_name(self.pipeline.name)}:http/proxy/", add_token)

    def leftovers(self) -> list[str]:
        """Return the releases that serve no traffic and are too old to be in progress."""
        leftovers = []
        for deployment in self.cluster.labelled("apps/v1", "Deployment", labels(self.settings, self.pipeline.name)):
            release = deployment["metadata"]["labels"][RELEASE_LABEL]
            age = datetime.now(UTC) - datetime.fromisoformat(deployment["metadata"]["creationTimestamp"])
            if age > LEFT_OVER and not self._is_set_to(release):
                leftovers.append(release)
        return leftovers

    def _objects(self, release: str) -> list[Body]:
        name = self.pipeline.name
        objects = release_objects(self.settings, self.pipeline.deployment, name, self.space, release)
        return [*pipeline_objects(self.settings, name), *objects]

    def _bring_up(self, release: str, objects: list[Body], *, all_replicas: bool) -> None:
        """Apply the objects and wait until the Deployment has all of its replicas, or at least one."""
        deployment = _deployment_of(objects)
        name = deployment["metadata"]["name"]
        self._clear_hopeless(release, deployment)
        for body in objects:
            self.cluster.apply(body)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            current = self.cluster.read(deployment) or {}
            if _is_available(current) if all_replicas else _has_pods(current):
                return
            pods = self._pods(release)
            for pod in pods:
                self._raise_if_hopeless(release, pod)
            if time.monotonic() > deadline:
                causes = [cause for pod in pods for cause in self._causes(pod)] or self._deployment_causes(current, name)
                raise ReleaseUnprovenError(f"Release {release}: its pods were not ready after {READY_SECONDS:.0f} s", causes)
            time.sleep(POLL_SECONDS)

    def _clear_hopeless(self, release: str, deployment: Body) -> None:
        """Delete a failing Deployment of a killed deploy: its old pods would fail the release even if the cause is fixed."""
        if self._is_set_to(release):
            return
        try:
            for pod in self._pods(release):
                self._raise_if_hopeless(release, pod)
            return
        except PerennialError as error:
            log.warning("Creating the Deployment of an earlier, failed deploy again: %s", error)
        self.cluster.delete(deployment)
        deadline = time.monotonic() + FOLLOW_SECONDS
        while self._pods(release) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _raise_if_hopeless(self, release: str, pod: Body) -> None:
        for container in pod.get("status", {}).get("containerStatuses") or []:
            state, last = container.get("state") or {}, container.get("lastState") or {}
            ended = state.get("terminated") or last.get("terminated") or {}
            if ended.get("exitCode") == REFUSED_EXIT_CODE:
                causes = self._causes(pod)
                is_earlier = any(UNKNOWN_FORMAT in cause for cause in causes)
                if is_earlier:  # than the release, whose format it does not know
                    remedy = "Build the server's image of this version and set PERENNIAL_SERVER_IMAGE (docs/how-to/upgrade.md)."
                    raise ReleaseUnprovenError(f"Release {release}: the server's image is of another version", causes, remedy)
                raise StageFailedError(f"Release {release}: its server refused it", causes)
            if waits_for(pod) & HOPELESS or container.get("restartCount", 0) >= 2:
                raise ReleaseUnprovenError(
                    f"Release {release}: its pod {pod['metadata']['name']} does not start", self._causes(pod)
                )

    def _causes(self, pod: Body) -> list[str]:
        return why_failed(pod, self.cluster.events(pod["metadata"]["name"]))

    def _deployment_causes(self, deployment: Body, name: str) -> list[str]:
        conditions = deployment.get("status", {}).get("conditions") or []
        causes = [
            f"{condition.get('reason')}: {condition.get('message')}"
            for condition in conditions
            if condition.get("status") != "True" or condition["type"] == "ReplicaFailure"
        ]
        return causes or [f"Deployment {name} has no pods"]

    def _pods(self, release: str) -> list[Body]:
        pods = self.cluster.labelled("v1", "Pod", {PIPELINE_LABEL: self.pipeline.name, RELEASE_LABEL: release})
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def _ask(client: httpx.Client) -> tuple[str, str | None]:
    """Return a summary of the Service's answer, and the release that answered, if any."""
    try:
        answer = client.get("v2", timeout=OUTAGE_SECONDS)
        return f"HTTP {answer.status_code}", answer.headers.get("x-release")
    except httpx.TransportError as error:
        return f"no answer, {type(error).__name__}", None


def _deployment_of(objects: list[Body]) -> Body:
    return next(body for body in objects if body["kind"] == "Deployment")


def _is_available(deployment: Body) -> bool:
    status: Body = deployment.get("status") or {}
    wanted = deployment.get("spec", {}).get("replicas", 1)
    is_observed = status.get("observedGeneration", 0) >= deployment.get("metadata", {}).get("generation", 1)
    return (
        bool(is_observed)
        and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == status.get("replicas", 0) == wanted
    )


def _has_pods(deployment: Body | None) -> bool:
    return bool(((deployment or {}).get("status") or {}).get("availableReplicas"))


def _is_ready(pod: Body) -> bool:
    conditions: list[Body] = pod.get("status", {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
