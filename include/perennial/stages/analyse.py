"""The analyse stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.lake.result import Result
from perennial.stages.stage import Run, SparkStage

if TYPE_CHECKING:
    from perennial.fingerprints.effects import Effect, Scope
    from perennial.spark.submit import SparkPlan


class Analyse(SparkStage):
    """Compute analyses, lookups and features with Spark SQL."""

    name = "analyse"
    follows = ("clean",)
    summary = "computes analyses, lookups and features with Spark SQL"

    def plan(self, run: Run) -> SparkPlan:
        """Plan one job for the batch."""
        from perennial.analyse.plan import plan_analyse

        return plan_analyse(run.lake, run.day, until=run.until, recompute=run.recompute)

    def finish(self, run: Run) -> Result:
        """Read back the partitions of the date."""
        from perennial.analyse.plan import finish_analyse

        return finish_analyse(run.lake, run.day)

    def find_effects(self, scope: Scope) -> list[Effect]:
        """Return the partitions that runs would compute."""
        from perennial.analyse.effects import analyse_effects

        return analyse_effects(scope)
