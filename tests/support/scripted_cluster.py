"""
A stand-in for one namespace of a cluster: its API in memory, its pods as the test says.

It keeps names unique, gives UIDs, and deletes exactly the object that is meant, as an API server does.
tests/kubernetes checks that a real API server does so, and what a kubelet makes of our pods.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
Fate = Callable[["ScriptedCluster", Body], None]
"""Changes a pod that was just made, and may take it away."""


@dataclass
class ScriptedCluster:
    """Each pod that is made meets the next of the `fates`; the last one stays."""

    fates: list[Fate]
    namespace: str = "perennial-training"
    pods: dict[str, Body] = field(default_factory=dict)
    made: list[Body] = field(default_factory=list)
    applied: list[Body] = field(default_factory=list)
    said: list[Body] = field(default_factory=list)
    """The events, of all pods."""

    logs: dict[str, list[str]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create(self, body: Body) -> Body | None:
        with self.lock:
            name = body["metadata"]["name"]
            if name in self.pods:
                return None
            pod = copy.deepcopy(body)
            pod["metadata"]["uid"] = f"uid-{len(self.made)}"
            pod["status"] = {"phase": "Pending"}
            self.pods[name] = pod
            self.made.append(copy.deepcopy(pod))
            fate = self.fates.pop(0) if len(self.fates) > 1 else self.fates[0]
            fate(self, pod)
            return copy.deepcopy(pod)

    def apply(self, body: Body) -> Body:
        self.applied.append(copy.deepcopy(body))
        return body

    def read(self, body: Body) -> Body | None:
        with self.lock:
            return copy.deepcopy(self.pods.get(body["metadata"]["name"]))

    def delete(self, body: Body, *, now: bool = False) -> None:
        with self.lock:
            found = self.pods.get(body["metadata"]["name"])
            if found is not None and body["metadata"].get("uid") in (None, found["metadata"]["uid"]):
                del self.pods[body["metadata"]["name"]]

    def events(self, name: str) -> list[Body]:
        return [event for event in self.said if event["involvedObject"]["name"] == name]

    def log(self, pod: str, lines: int | None = None) -> list[str]:
        return list(self.logs.get(pod, []))


def is_in(phase: str, **status: Any) -> Fate:
    """Return the fate of a pod that is at once in a phase."""

    def fate(cluster: ScriptedCluster, pod: Body) -> None:
        pod["status"] = {"phase": phase, **status}

    return fate


def exits(code: int, message: str = "") -> Fate:
    """Return the fate of a pod whose container has ended at once."""
    return is_in("Succeeded" if code == 0 else "Failed", containerStatuses=_terminated(code, message))


def vanishes(cluster: ScriptedCluster, pod: Body) -> None:
    """Be deleted by someone else."""
    del cluster.pods[pod["metadata"]["name"]]


def runs_trainer(cluster: ScriptedCluster, pod: Body) -> None:
    """Run the trainer with the arguments and the limits of the pod's container, and the store settings of the test."""
    (container,) = pod["spec"]["containers"]
    limits = {item["name"]: item["value"] for item in container["env"] if item["name"].startswith("PERENNIAL_MAX_")}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "perennial.train", *container["args"]],
        env={**os.environ, **limits},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    pod["status"] = {"phase": "Running"}
    lines = cluster.logs[pod["metadata"]["name"]] = []

    def follow() -> None:
        assert process.stdout is not None
        lines.extend(line.rstrip() for line in _each(process.stdout))
        code = process.wait()
        with cluster.lock:
            exits(code, "\n".join(lines[-20:]))(cluster, pod)

    threading.Thread(target=follow, daemon=True).start()


def _each(stream: Any) -> Iterator[str]:
    with stream:
        yield from stream


def _terminated(code: int, message: str) -> list[Body]:
    return [{"name": "base", "state": {"terminated": {"exitCode": code, "reason": "Error", "message": message}}}]
