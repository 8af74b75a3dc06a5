"""Check whether a run of a date has anything to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from perennial.errors import RefusedError
from perennial.lake.result import Result, Skipped
from perennial.stages import STAGES, Run, Stage
from perennial.stages.stage import reason_to_skip


def finished_stages(run: Run, stages: Sequence[Stage] = STAGES) -> dict[str, Result] | None:
    """
    Return the result of every stage if no stage has work to do for the run's date, else None.

    The stages are checked in order, because each plans from the results of the stage before it. A date that a stage refuses
    counts as work, so that the task of that stage runs and reports the reason.
    """
    moment = run.lake.at_one_moment()
    run = replace(run, lake=replace(run.lake, tables=moment.tables))
    results: dict[str, Result] = {}
    ended: dict[str, str] = {}
    for stage in stages:
        if (reason := reason_to_skip(stage, ended)) is not None:
            result: Result | None = Skipped(reason=reason)
        else:
            try:
                result = stage.find(run, moment)
            except RefusedError:
                return None
        if result is None:
            return None
        results[stage.name] = result
        if isinstance(result, Skipped) and (stage.skip_ends_run or reason is not None):
            ended[stage.name] = result.reason
    return results
