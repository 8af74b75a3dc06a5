"""Turn the plan of a training into work for a trainer, in a process or on Kubernetes."""

from __future__ import annotations

import logging
from datetime import date

from perennial.config.candidates import parts_of
from perennial.errors import PerennialError, PipelineRefusedError
from perennial.lake.lake import Lake
from perennial.runtime.trainer import TrainingWork
from perennial.train.plan import TrainingPlan, plan_ahead, plan_training

log = logging.getLogger(__name__)


def plan_work(
    lake: Lake, day: date, candidate: str, *, until: date | None = None, recompute: bool = False
) -> tuple[TrainingPlan, TrainingWork | None]:
    """
    Plan the training of one candidate of date D. Return the plan and the work, which is None if there is nothing to do.

    :param until: the last date of the batch to train in the same work; None: only `day`
    :raises RefusedError: the training does not fit into the disk or the memory that it may take
    """
    plan = plan_training(lake, day, candidate, recompute=recompute)
    if plan.job_uri is None or plan.key is None or plan.manifest_uri is None:
        return plan, None
    _check_settings(lake, candidate)
    _check_parts(lake, day, candidate)
    if plan.window:  # a blend reads no window
        _check_needs(lake, plan, day)
    ahead = plan_ahead(lake, day, until or day, candidate)
    jobs = list(dict.fromkeys([*plan.jobs, *ahead]))
    return plan, TrainingWork(candidate, day.isoformat(), plan.key, [plan.manifest_uri], jobs, has_ahead=bool(ahead))


def _check_settings(lake: Lake, candidate: str) -> None:
    """Refuse a candidate whose library does not accept its settings."""
    from perennial.train.check import candidate_problems

    if problems := candidate_problems(lake.pipeline, candidate):
        raise PipelineRefusedError(f"{lake.pipeline.folder}", problems, "See docs/reference/candidates.md.")


def _check_parts(lake: Lake, day: date, candidate: str) -> None:
    """Refuse a blend before its parts are trained."""
    for part in parts_of(lake.pipeline.training.candidates[candidate]):
        if plan_training(lake, day, part).job_uri is not None:
            raise PerennialError(
                f"Pipeline {lake.pipeline.name!r}: candidate {part!r} of {day} is not trained, and {candidate!r} "
                f"is a blend of it. Run train of {day} first."
            )


def _check_needs(lake: Lake, plan: TrainingPlan, day: date) -> None:
    """Log what the training of the date takes, and refuse one that cannot fit."""
    # A DAG file imports this module, and must not import numpy.
    from perennial.train.needs import Limits, check_needs, estimate_needs
    from perennial.train.wide import is_certain_of_codes

    pipeline = lake.pipeline
    limits = pipeline.training.max_rows, pipeline.gate.max_rows
    settings = pipeline.training.candidates[plan.candidate]
    has_codes = is_certain_of_codes(lake, settings, plan.rows, plan.window)
    needs = estimate_needs(
        plan.candidate, settings, pipeline.inputs, pipeline.label, plan.rows, plan.window, *limits, has_codes=has_codes
    )
    log.info("The training of %s takes, by estimate: %s", day, needs.describe())
    check_needs(needs, Limits.of(pipeline), f"Pipeline {pipeline.name!r}: the training of {plan.candidate} for {day}")
