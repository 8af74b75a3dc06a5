"""The clean stage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from perennial.lake.result import Outcome, Result
from perennial.stages.stage import Run, SparkStage

if TYPE_CHECKING:
    from perennial.lake.lake import Lake
    from perennial.spark.submit import SparkPlan


class Clean(SparkStage):
    """Apply the contract and quarantine bad rows with Spark."""

    name = "clean"
    follows = ("collect",)
    summary = "applies the contract and quarantines bad rows with Spark"

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the partitions of the date, or None if the plan has one to compute."""
        from perennial.clean.plan import finish_clean, plan_clean

        if plan_clean(moment, run.day).job_uri is not None:
            return None
        return replace(finish_clean(moment, run.day), outcome=Outcome.UNCHANGED)

    def plan(self, run: Run) -> SparkPlan:
        """Plan one job for the batch."""
        from perennial.clean.plan import plan_clean

        return plan_clean(run.lake, run.day, until=run.until, recompute=run.recompute)

    def finish(self, run: Run) -> Result:
        """Read back the partitions of the date."""
        from perennial.clean.plan import finish_clean

        return finish_clean(run.lake, run.day)
