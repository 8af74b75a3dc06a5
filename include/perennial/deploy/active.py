"""The active release, as deploys and rollbacks read and move it."""

from __future__ import annotations

from dataclasses import replace

from perennial.errors import LostRaceError, RefusedError
from perennial.lake.lake import Lake
from perennial.settings import describe_missing
from perennial.signing.keys import read_keys, read_trusted_keys
from perennial.signing.objects import key_to_sign
from perennial.signing.pointer import Active, read_pointer, write_pointer


def read_active(lake: Lake) -> Active:
    """Return the pointer, once its signature is verified; before the first release, it names no release."""
    return read_pointer(lake.objects, lake.layout, read_trusted_keys())


def move(lake: Lake, was: Active, release: str | None, previous: str | None, *, soaked: bool, runtime: str) -> Active:
    """Move the pointer if it has not changed since it was read; else raise LostRaceError with the release that won."""
    key = key_to_sign(read_keys())
    if was.signed_by is not None and key is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r}: the pointer to the active release is signed, and servers would refuse an "
            f"unsigned one: {describe_missing('signing_key')}"
        )
    now = write_pointer(
        lake.objects, lake.layout, replace(was, release=release, previous=previous, soaked=soaked, runtime=runtime), key
    )
    if now is None:
        winner = read_active(lake)
        raise LostRaceError(
            f"Pipeline {lake.pipeline.name!r}: another deploy was faster: release {winner.release} is active, not {release}. "
            f"Run the deploy again if you want release {release}."
        )
    return now
