"""The train stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.config.candidates import parts_of
from perennial.lake.result import Outcome, Result, Skipped
from perennial.stages.stage import Run, Stage
from perennial.store.json_value import Json

if TYPE_CHECKING:
    from perennial.config.pipeline import Pipeline
    from perennial.fingerprints.effects import Effect, Scope
    from perennial.lake.lake import Lake


@dataclass(frozen=True, slots=True)
class AllTrained(Result):
    """The results of all candidates: {candidate: result as JSON}."""

    candidates: Json


class Train(Stage):
    """Train each candidate in a process or a pod."""

    name = "train"
    follows = ("analyse",)
    summary = "trains one candidate a task; skipped while history is insufficient"
    skip_ends_run = True

    def candidates(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return the candidates of the pipeline that are trained on rows."""
        return tuple(name for name, settings in pipeline.training.candidates.items() if not parts_of(settings))

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the models of the date, or the reason to skip its training, or None if it is not trained yet."""
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
        """Train a candidate for the date and for the other dates of its batch."""
        from perennial.runtime.choice import open_trainer
        from perennial.train.plan import finish_training
        from perennial.train.work import plan_search, plan_work

        if candidate is None:
            raise ValueError(f"{self.name} needs a candidate: it trains one at a time")
        search = plan_search(run.lake, run.lake.pipeline.calendar.dates(run.day, run.last), candidate)
        if search is not None:
            open_trainer(run.lake).train(search)
        plan, work = plan_work(run.lake, run.day, candidate, until=run.until, recompute=run.recompute)
        if work is not None:
            open_trainer(run.lake).train(work)
        return finish_training(run.lake, plan)

    def find_effects(self, scope: Scope) -> list[Effect]:
        """Return the models that runs would train."""
        from perennial.train.effects import train_effects

        return train_effects(scope)
