"""The collect stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.lake.result import Outcome, Result
from perennial.stages.stage import Run, Stage

if TYPE_CHECKING:
    from perennial.fingerprints.effects import Effect, Scope
    from perennial.lake.lake import Lake


class Collect(Stage):
    """Verify drops and pin their bytes."""

    name = "collect"
    follows = ()
    summary = "verifies the drops and pins their bytes"

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the pinned drops, or None if a drop of the date, or a late drop of an earlier date, has not been read yet."""
        from perennial.collect.collect import collect
        from perennial.collect.drops import pinned_drop, pinned_reference

        pipeline = moment.pipeline
        pinned = (
            *(pinned_drop(moment, source, run.day) for source in pipeline.sources),
            *(pinned_reference(moment, name) for name in pipeline.references),
        )
        if None in pinned:
            return None
        # Every drop of the date is pinned, so this reads a drop only if an earlier date landed late.
        collected = collect(moment, run.day)
        return collected if collected.outcome is Outcome.UNCHANGED else None

    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Verify the drops of the batch and of the history that it needs."""
        from perennial.collect.collect import collect

        return collect(run.lake, run.day, run.until)

    def find_effects(self, scope: Scope) -> list[Effect]:
        """Return the drops that runs would check."""
        from perennial.collect.effects import collect_effects

        return collect_effects(scope)
