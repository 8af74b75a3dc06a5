"""Where a model serves: the seam between the release protocol and the machines below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from perennial.errors import PerennialError, ReleaseFailedError

if TYPE_CHECKING:
    import httpx


class StageFailedError(ReleaseFailedError):
    """The staged server refused its release."""


class EndpointMissingError(PerennialError):
    """Nothing answers at the endpoint, so nobody can follow a switch: no fault of the release."""


class Runtime(Protocol):
    """What the release protocol asks of a place where models serve. All of it can be repeated after a crash."""

    name: str
    """`process` or `kubernetes`."""

    def stage(self, release: str) -> httpx.Client:
        """
        Start a release beside the running one, wait until it is ready, and return a client of exactly it.

        Raises StageFailedError when the server refuses the release, ReleaseUnprovenError when it ends or hangs otherwise.
        """

    def staged_log(self) -> list[str]:
        """Return the last lines that the staged server said."""

    def unstage(self) -> None:
        """Stop what served the check alone, if anything."""

    def switch(self, release: str) -> None:
        """
        Return when the endpoint answers from `release`, to which the pointer was just moved.

        Raises EndpointMissingError when nothing answers there, ReleaseUnprovenError when it goes on with another release.
        """

    def follows(self, release: str) -> bool:
        """Tell whether the endpoint answers from `release`, is set to it, or will be once it runs."""

    def leftovers(self) -> list[str]:
        """Return the releases that serve nobody and are too old to be under way: an interrupted deploy may have left them."""

    def remove(self, release: str) -> None:
        """Take away what is left of a release that serves nobody any more."""

    def endpoint(self) -> httpx.Client:
        """Return a client of what users call."""
