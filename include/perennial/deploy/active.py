"""The pointer to the active release: one object, updated by compare-and-swap (If-Match). Model servers follow it."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.errors import LostRaceError
from perennial.lake.lake import Lake
from perennial.store.heads import parse_head
from perennial.store.objects import canonical_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Active:
    """
    The content of the pointer, and the ETag of exactly this content.

    `previous` is the last release before this one that passed its soak; `soaked` is True once this one has passed.
    A deploy that was killed between switch and soak leaves soaked=false. The next deploy then knows what to finish and which
    release to go back to.
    """

    release: str | None
    previous: str | None
    soaked: bool
    etag: str | None
    runtime: str | None = None
    """The runtime on which the release serves; None in pointers written before this field existed."""

    @property
    def good(self) -> str | None:
        """Return the release to go back to: this one if it has passed its soak, else the previous one."""
        return self.release if self.soaked else self.previous

    @property
    def needed(self) -> set[str | None]:
        """Return the releases that must stay up: this one and, during its soak, the previous one."""
        return {self.release} if self.soaked else {self.release, self.previous}


def read_active(lake: Lake) -> Active:
    """Return the pointer; before the first release, it names no release."""
    stored = lake.objects.read(lake.layout.active)
    if stored is None:
        return Active(None, None, True, None)
    return parse_head(
        lake.layout.active,
        stored,
        FORMAT,
        lambda body: Active(body["release"], body["previous"], body.get("soaked", True), stored.etag, body.get("runtime")),
    )


def move(lake: Lake, was: Active, release: str | None, previous: str | None, *, soaked: bool, runtime: str) -> Active:
    """Move the pointer if it has not changed since it was read; else raise LostRaceError with the release that won."""
    body = canonical_json({"format": FORMAT, "release": release, "previous": previous, "soaked": soaked, "runtime": runtime})
    etag = lake.objects.replace(lake.layout.active, body, was.etag)
    if etag is None:
        now = read_active(lake)
        raise LostRaceError(
            f"Pipeline {lake.pipeline.name!r}: another deploy was faster: release {now.release} is active, not {release}. "
            f"Run the deploy again if you want release {release}."
        )
    return Active(release, previous, soaked, etag, runtime)
