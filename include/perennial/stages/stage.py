"""The interface of a stage for the DAG, the command line and the check for unchanged work."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Protocol

from perennial.lake.result import Outcome, Result, Skipped

if TYPE_CHECKING:  # DAG files are read often and must stay light
    from perennial.config.pipeline import Pipeline
    from perennial.fingerprints.effects import Effect, Scope
    from perennial.lake.lake import Lake
    from perennial.runtime.base import Runtime
    from perennial.spark.submit import SparkPlan


@dataclass(frozen=True, slots=True)
class Run:
    """
    The run of one date.

    :param run_id: the name of the run in decisions, from Airflow or from the command line
    :param until: the last date of the batch that the run works on; None: only its own date
    :param recompute: compute results again although they exist; they must be identical
    :param by: the person who started the run, for a forced decision; None: not known
    :param runtime: where models serve; None: the runtime of the pipeline
    """

    lake: Lake
    day: date
    run_id: str
    until: date | None = None
    recompute: bool = False
    force_decision: str | None = None
    force_reason: str | None = None
    by: str | None = None
    runtime: Runtime | None = None

    @property
    def last(self) -> date:
        """Return the last date that the run works on."""
        return self.until or self.day


class Stage(Protocol):
    """
    One stage. To add one, write a module here and add a line to `STAGES`.

    A stage imports its package only inside its methods, because every parse of a DAG file imports this package.
    """

    name: str
    follows: tuple[str, ...]
    """Names of the stages whose results this stage reads, if the pipeline has them. They come before it in `STAGES`."""

    summary: str
    """A phrase for the documentation of the DAG. It begins with a verb."""

    skip_ends_run: bool = False
    """True if the stages that follow are skipped too when this stage is skipped."""

    asset: str | None = None
    """The data that other DAGs may wait for: `perennial://<pipeline>/<asset>`. None: the stage publishes none."""

    def is_part_of(self, pipeline: Pipeline) -> bool:
        """Return whether the pipeline has the stage."""
        return True

    def candidates(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return the candidates that the stage runs for, one task each; if there are none, the stage is one task."""
        return ()

    @abstractmethod
    def find(self, run: Run, moment: Lake) -> Result | None:
        """
        Return the existing result, or None if the stage has work to do. Change nothing.

        :param moment: a snapshot of the run's lake, in which each object is read once. `run.lake` has the same tables, but shows
            decisions and releases of other runs immediately
        :raises RefusedError: the stage itself would refuse the date
        """

    @abstractmethod
    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Do any pending work and return the result. Idempotent."""

    def find_effects(self, scope: Scope) -> list[Effect]:
        """
        Return the results that runs would compute, for `perennial impact`. Change nothing.

        A stage without stored results, or whose work costs little, has none.

        :param scope: the dates of the runs, and the effects of the stages before this one
        """
        return []


class Skips:
    """The stages of one run that are skipped, and with them the stages that follow them."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def find(self, stage: Stage) -> Skipped | None:
        """Return the result of a stage that is skipped with a stage that it follows, or None."""
        reason = next((self._reasons[name] for name in stage.follows if name in self._reasons), None)
        if reason is None:
            return None
        self._reasons[stage.name] = reason
        return Skipped(reason=reason)

    def add(self, stage: Stage, result: Result | None) -> None:
        """Take in the stage's own result, which ends the run for the stages that follow if the stage says so."""
        if stage.skip_ends_run and isinstance(result, Skipped):
            self._reasons[stage.name] = result.reason


class SparkStage(Stage):
    """A stage whose work is one Spark job: it plans the job, submits it and reads its commits."""

    @abstractmethod
    def plan(self, run: Run) -> SparkPlan:
        """Return the job that brings the tables up to date; its `job_uri` is None if there is nothing to do."""

    @abstractmethod
    def finish(self, run: Run) -> Result:
        """Read the result of the run's date from the tables."""

    def find(self, run: Run, moment: Lake) -> Result | None:
        """Return the partitions of the date, or None if the plan has one to compute."""
        found = replace(run, lake=moment, until=None, recompute=False)
        return self._read_unchanged(found) if self.plan(found).job_uri is None else None

    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Submit the planned job and wait for it."""
        from perennial.spark.submit import submit

        return self.run_with(run, submit)

    def run_with(self, run: Run, submit: Callable[[SparkPlan], object]) -> Result:
        """
        Do any pending work and return the result.

        :param submit: submits the job and waits for its end; it is not called if there is nothing to do
        """
        plan = self.plan(run)
        if plan.job_uri is None:
            return self._read_unchanged(run)
        submit(plan)
        return self.finish(run)

    def _read_unchanged(self, run: Run) -> Result:
        result = self.finish(run)
        return result if result.outcome is Outcome.SKIPPED else replace(result, outcome=Outcome.UNCHANGED)
