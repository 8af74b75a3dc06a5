"""The score stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.lake.result import Result
from perennial.stages.stage import Run, SparkStage

if TYPE_CHECKING:
    from perennial.config.pipeline import Pipeline
    from perennial.fingerprints.effects import Effect, Scope
    from perennial.spark.submit import SparkPlan


class Score(SparkStage):
    """Answer every row of the date by the active release, with Spark."""

    name = "score"
    follows = ("deploy",)
    summary = "answers every row of the date by the active release, with Spark"
    asset = "scores"

    def is_part_of(self, pipeline: Pipeline) -> bool:
        """Return whether the pipeline asks for scores."""
        return pipeline.scoring is not None

    def plan(self, run: Run) -> SparkPlan:
        """Plan one job for the batch, without its last date: that one may have a release of its own."""
        from perennial.score.of_run import plan_run_scores

        return plan_run_scores(run.lake, run.day, until=run.until, recompute=run.recompute)

    def finish(self, run: Run) -> Result:
        """Read back the scores of the date."""
        from perennial.score.of_run import finish_run_scores

        return finish_run_scores(run.lake, run.day)

    def find_effects(self, scope: Scope) -> list[Effect]:
        """Return the dates that runs would score."""
        from perennial.score.effects import score_effects

        return score_effects(scope)
