"""The interface between the release protocol and the machines that serve models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from perennial.errors import PerennialError, ReleaseFailedError

if TYPE_CHECKING:
    import httpx


class StageFailedError(ReleaseFailedError):
    """The staged server refused its release."""


class EndpointMissingError(PerennialError):
    """Nothing answers at the endpoint, so the switch cannot be confirmed. The release is not at fault."""


class Runtime(Protocol):
    """The operations that the release protocol needs where models serve. Each can be repeated after a crash."""

    name: str
    """`process` or `kubernetes`."""

    def stage(self, release: str) -> httpx.Client:
        """
        Start a release beside the running one, wait until it is ready, and return a client of that release alone.

        Raises StageFailedError if the server refuses the release, ReleaseUnprovenError if it ends or hangs for another reason.
        """

    def staged_log(self) -> list[str]:
        """Return the last log lines of the staged server."""

    def unstage(self) -> None:
        """Stop everything that ran only for the check of the staged release."""

    def switch(self, release: str) -> None:
        """
        Return once the endpoint answers from `release`, to which the pointer was just moved.

        Raises EndpointMissingError if nothing answers there, ReleaseUnprovenError if it keeps serving another release.
        """

    def follows(self, release: str) -> bool:
        """Return whether the endpoint answers from `release`, is set to it, or will be once it runs."""

    def leftovers(self) -> list[str]:
        """Return the releases that serve no traffic and are too old to be in progress, left by interrupted deploys."""

    def remove(self, release: str) -> None:
        """Remove what is left of a release that no longer serves traffic."""

    def endpoint(self) -> httpx.Client:
        """Return a client of the endpoint that users call."""
