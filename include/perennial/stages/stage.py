"""A stage of a run, as the DAG, the command line and the check for unchanged work see it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Protocol

from perennial.lake.result import Outcome, Result

if TYPE_CHECKING:  # DAG files are read often and must stay light
    from perennial.config.pipeline import Pipeline
    from perennial.lake.lake import Lake
    from perennial.runtime.base import Runtime
    from perennial.spark.submit import SparkPlan


@dataclass(frozen=True, slots=True)
class Run:
    """
    The run of one date.

    :param run_id: the name of the run in decisions: Airflow's, or one of the command line
    :param until: the last date of the batch that it works ahead for; None: its own date
    :param recompute: make results again although they are there; they must come out the same
    :param runtime: where models serve; None: the runtime of the pipeline
    """

    lake: Lake
    day: date
    run_id: str
    until: date | None = None
    recompute: bool = False
    force_decision: str | None = None
    force_reason: str | None = None
    runtime: Runtime | None = None

    @property
    def last(self) -> date:
        """Return the last date that the run works for."""
        return self.until or self.day


class Stage(Protocol):
    """
    One stage. To add one, write a module here and add a line to `STAGES`.

    Its room is imported only inside its methods: DAG files import this package each time that they are parsed.
    """

    name: str
    follows: tuple[str, ...]
    """Names of the stages whose results it reads. They come before it in `STAGES`."""

    summary: str
    """Half a sentence for the pages of the DAG: it begins with a verb."""

    skip_ends_run: bool = False
    """Whether the stages that follow are skipped, too, when this one is."""

    def candidates(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return the candidates that the stage runs for, each in a task of its own; none: it is one task."""
        return ()

    @abstractmethod
    def find(self, run: Run, moment: Lake) -> Result | None:
        """
        Return the result that is there already, or None when the stage has work to do. Changes nothing.

        :param moment: the run's lake as it is at one moment: each object is read once. `run.lake` has the same tables, and sees
            decisions and releases of other runs at once
        :raises RefusedError: the stage itself would refuse the date
        """

    @abstractmethod
    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Do the work, if there is any, and return the result. Idempotent."""


def reason_to_skip(stage: Stage, ended: Mapping[str, str]) -> str | None:
    """
    Return why a stage is skipped with one that it follows.

    :param ended: the stages that ended the run for those that follow them, with the reason
    """
    return next((ended[name] for name in stage.follows if name in ended), None)


class SparkStage(Stage):
    """A stage whose work is one Spark job: planned, submitted, and its commits read back."""

    @abstractmethod
    def plan(self, run: Run) -> SparkPlan:
        """Return the job that brings the tables up to date; its `job_uri` is None when there is nothing to do."""

    @abstractmethod
    def finish(self, run: Run) -> Result:
        """Read back what the tables hold for the run's date."""

    def run(self, run: Run, candidate: str | None = None) -> Result:
        """Submit the planned job and wait for it."""
        from perennial.spark.submit import submit

        submitted = submit(self.plan(run))
        return replace(self.finish(run), outcome=Outcome.DONE if submitted else Outcome.UNCHANGED)
