"""The stage train."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.lake.result import Outcome, Result, Skipped
from perennial.stages.stage import Run, Stage
from perennial.store.json_value import Json

if TYPE_CHECKING:
    from perennial.config.pipeline import Pipeline
    from perennial.lake.lake import Lake

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AllTrained(Result):
    """The results of all candidates, as JSON by the name of the candidate."""

    candidates: Json


class Train(Stage):
    """Train each candidate, in a process or in a pod."""

    name = "train"
    follows = ("analyse",)
    summary = "trains one candidate a task; skipped while there is too little history"
    skip_ends_run = True

    def candidates(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return the candidates of the pipeline."""
        return tuple(pipeline.training.candidates)

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the models of the date, or the reason why it has none."""
        from perennial.train.plan import finish_training, plan_training

        lake = run.lake
        plans = {name: plan_training(lake, run.day, name) for name in self.candidates(lake.pipeline)}
        for plan in plans.values():
            if plan.skipped is not None:
                return Skipped(reason=plan.skipped)
        if not all(plan.unchanged for plan in plans.values()):
            return None
        trained = {name: finish_training(lake, plan).to_json() for name, plan in plans.items()}
        return AllTrained(Outcome.UNCHANGED, trained)

    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Train a candidate for the date, and for those of its batch; a failure of one of these is left to its own run."""
        from perennial.errors import PerennialError
        from perennial.runtime.choice import runtime_of
        from perennial.train.plan import finish_training, plan_ahead, plan_training

        if candidate is None:
            raise ValueError("train runs for one candidate at a time")
        lake = run.lake
        plan = plan_training(lake, run.day, candidate, recompute=run.recompute)
        if plan.job_uri is not None:
            ahead = plan_ahead(lake, run.day, run.last, candidate)
            jobs = list(dict.fromkeys([*plan.jobs, *ahead]))
            try:
                if runtime_of(lake.pipeline) == "process":
                    from perennial.runtime.process import train, trainers_at_once

                    train(jobs, processes=trainers_at_once(lake.pipeline.training, len(ahead)))
                else:
                    from perennial.runtime.pod_training import train_in_pod

                    train_in_pod(lake.pipeline, candidate, str(plan.key), jobs, lake.objects, str(plan.manifest_uri))
            except PerennialError as error:
                # Its own job comes first, so its model shows that a later date failed.
                if not ahead or not lake.objects.exists(str(plan.manifest_uri)):
                    raise
                log.warning("Training ahead ended early, the dates that are left train in their own runs: %s", error)
        return finish_training(lake, plan)
