"""The stage collect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.lake.result import Outcome, Result
from perennial.stages.stage import Run, Stage

if TYPE_CHECKING:
    from perennial.lake.lake import Lake


class Collect(Stage):
    """Verify drops and pin their bytes."""

    name = "collect"
    follows = ()
    summary = "verifies the drops and pins their bytes"

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the pinned drops, unless a drop of the date or one that landed late is still to be read."""
        from perennial.collect.collect import collect
        from perennial.collect.drops import pinned_drop, pinned_reference

        pipeline = moment.pipeline
        pinned = (
            *(pinned_drop(moment, source, run.day) for source in pipeline.sources),
            *(pinned_reference(moment, name) for name in pipeline.references),
        )
        if None in pinned:
            return None
        # Every drop of the date is pinned, so this reads nothing, unless an earlier date has landed late.
        collected = collect(moment, run.day)
        return collected if collected.outcome is Outcome.UNCHANGED else None

    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Verify the drops of the batch and of the history that it needs."""
        from perennial.collect.collect import collect

        return collect(run.lake, run.day, run.until)
