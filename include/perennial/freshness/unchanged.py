"""Check whether a run of a date has anything to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from perennial.errors import RefusedError
from perennial.lake.result import Result
from perennial.stages import Run, Stage, stages_of
from perennial.stages.stage import Skips


def finished_stages(run: Run, stages: Sequence[Stage] | None = None) -> dict[str, Result] | None:
    """
    Return the result of every stage if no stage has work to do for the run's date, else None.

    The stages are checked in order, because each plans from the results of the stage before it. A date that a stage refuses
    counts as work, so that the task of that stage runs and reports the reason.

    :param stages: the stages to check; None: those of the pipeline
    """
    moment = run.lake.at_one_moment()
    run = replace(run, lake=replace(run.lake, tables=moment.tables))
    results: dict[str, Result] = {}
    skips = Skips()
    for stage in stages_of(run.lake.pipeline) if stages is None else stages:
        result: Result | None = skips.find(stage)
        if result is None:
            try:
                result = stage.find(run, moment)
            except RefusedError:
                return None
            skips.add(stage, result)
        if result is None:
            return None
        results[stage.name] = result
    return results
