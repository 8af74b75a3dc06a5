"""Where a model serves: the seam between the release protocol and the machines below it."""

from __future__ import annotations

import os
from typing import Protocol

from perennial.errors import PerennialError, RefusedError, ReleaseFailedError, did_you_mean
from perennial.pipeline import Pipeline

RUNTIMES = ("process", "kubernetes")


def runtime_of(pipeline: Pipeline) -> str:
    """Return where the pipeline's training runs: PERENNIAL_RUNTIME, or what its YAML says."""
    chosen = os.environ.get("PERENNIAL_RUNTIME") or pipeline.runtime
    if chosen not in RUNTIMES:
        raise RefusedError(f"PERENNIAL_RUNTIME is {chosen!r}, expected {' or '.join(RUNTIMES)}.{did_you_mean(chosen, RUNTIMES)}")
    return chosen


class StageFailedError(ReleaseFailedError):
    """The staged server refused its release."""


class EndpointMissingError(PerennialError):
    """Nothing answers at the endpoint, so nobody can follow a switch: no fault of the release."""


class Runtime(Protocol):
    """What the release protocol asks of a place where models serve. All of it can be repeated after a crash."""

    def stage(self, release: str) -> str:
        """
        Start a release beside the running one, wait until it is ready, and return its address.

        Raises StageFailedError when the server refuses the release, ReleaseUnprovenError when it ends or hangs otherwise.
        """

    def staged_log(self) -> list[str]:
        """Return the last lines that the staged server said."""

    def unstage(self) -> None:
        """Stop what was staged, if anything."""

    def switch(self, release: str) -> None:
        """
        Return when the endpoint answers from `release`, to which the pointer was just moved.

        Raises EndpointMissingError when nothing answers there, ReleaseUnprovenError when it goes on with another release.
        """

    def endpoint_url(self) -> str:
        """Return the address that users call."""
