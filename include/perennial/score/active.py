"""The release that scores a run: the active one when it begins, which the scores then name."""

from __future__ import annotations

from perennial.deploy.active import read_active
from perennial.errors import RefusedError
from perennial.lake.lake import Lake


def require_active(lake: Lake) -> str:
    """Return the active release; refuse if there is none."""
    active = read_active(lake).release
    if active is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r} has no active release yet",
            remedy=f"Run a date first: `perennial run {lake.pipeline.name} --date DATE`.",
        )
    return active
