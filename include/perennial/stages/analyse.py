"""The analyse stage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from perennial.lake.result import Outcome, Result
from perennial.stages.stage import Run, SparkStage

if TYPE_CHECKING:
    from perennial.lake.lake import Lake
    from perennial.spark.submit import SparkPlan


class Analyse(SparkStage):
    """Compute analyses, lookups and features with Spark SQL."""

    name = "analyse"
    follows = ("clean",)
    summary = "computes analyses, lookups and features with Spark SQL"

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the partitions of the date, or None if the plan has one to compute."""
        from perennial.analyse.plan import finish_analyse, plan_analyse

        if plan_analyse(moment, run.day).job_uri is not None:
            return None
        return replace(finish_analyse(moment, run.day), outcome=Outcome.UNCHANGED)

    def plan(self, run: Run) -> SparkPlan:
        """Plan one job for the batch."""
        from perennial.analyse.plan import plan_analyse

        return plan_analyse(run.lake, run.day, until=run.until, recompute=run.recompute)

    def finish(self, run: Run) -> Result:
        """Read back the partitions of the date."""
        from perennial.analyse.plan import finish_analyse

        return finish_analyse(run.lake, run.day)
