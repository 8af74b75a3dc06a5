"""Where a model serves: the seam between the release protocol and the machines below it."""

from __future__ import annotations

from typing import Protocol

from perennial.errors import PerennialError, ReleaseFailedError


class StageFailedError(ReleaseFailedError):
    """A release did not become ready beside the running one."""


class EndpointMissingError(PerennialError):
    """Nothing answers at the endpoint, so nobody can follow a switch: no fault of the release."""


class Runtime(Protocol):
    """What the release protocol asks of a place where models serve. All of it can be repeated after a crash."""

    def stage(self, release: str) -> str:
        """Start a release beside the running one, wait until it is ready, and return its address; else StageFailedError."""

    def staged_log(self) -> list[str]:
        """Return the last lines that the staged server said."""

    def unstage(self) -> None:
        """Stop what was staged, if anything."""

    def switch(self, release: str) -> None:
        """
        Return when the endpoint answers from `release`, to which the pointer was just moved.

        Raises EndpointMissingError when nothing answers there, ReleaseFailedError when it goes on with another release.
        """

    def endpoint_url(self) -> str:
        """Return the address that users call."""
