"""The clean stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.lake.result import Result
from perennial.stages.stage import Run, SparkStage

if TYPE_CHECKING:
    from perennial.fingerprints.effects import Effect, Scope
    from perennial.spark.submit import SparkPlan


class Clean(SparkStage):
    """Apply the contract and quarantine bad rows with Spark."""

    name = "clean"
    follows = ("collect",)
    summary = "applies the contract and quarantines bad rows with Spark"

    def plan(self, run: Run) -> SparkPlan:
        """Plan one job for the batch."""
        from perennial.clean.plan import plan_clean

        return plan_clean(run.lake, run.day, until=run.until, recompute=run.recompute)

    def finish(self, run: Run) -> Result:
        """Read back the partitions of the date."""
        from perennial.clean.plan import finish_clean

        return finish_clean(run.lake, run.day)

    def find_effects(self, scope: Scope) -> list[Effect]:
        """Return the clean rows that runs would compute."""
        from perennial.clean.effects import clean_effects

        return clean_effects(scope)
