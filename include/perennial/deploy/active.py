"""The pointer to the release that serves: one object, moved by If-Match. Model servers follow it."""

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
    What the pointer says, and the ETag that names exactly this.

    `previous` is the last release that passed its soak before this one; `soaked` tells whether this one has. A deploy that was
    killed between switch and soak leaves soaked=false, and the next one knows what to finish and where to go back to.
    """

    release: str | None
    previous: str | None
    soaked: bool
    etag: str | None
    runtime: str | None = None
    """Where it serves; None in pointers of before this was written down."""

    @property
    def good(self) -> str | None:
        """Return the release to go back to: this one once it has passed its soak, else the one before."""
        return self.release if self.soaked else self.previous

    @property
    def needed(self) -> set[str | None]:
        """Return what must stay up: this one, and in its soak the one before."""
        return {self.release} if self.soaked else {self.release, self.previous}


def read_active(lake: Lake) -> Active:
    """Return the pointer; before the first release it names none."""
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
    """Move the pointer if it still is what was read; else LostRaceError names the release that won."""
    body = canonical_json({"format": FORMAT, "release": release, "previous": previous, "soaked": soaked, "runtime": runtime})
    etag = lake.objects.replace(lake.layout.active, body, was.etag)
    if etag is None:
        now = read_active(lake)
        raise LostRaceError(
            f"Pipeline {lake.pipeline.name!r}: another deploy was first, release {now.release} is active now (wanted {release}). "
            "Run it again if that is not what you want."
        )
    return Active(release, previous, soaked, etag, runtime)
