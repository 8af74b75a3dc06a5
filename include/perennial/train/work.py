"""Turn the plan of a training into work for a trainer, in a process or on Kubernetes."""

from __future__ import annotations

from datetime import date

from perennial.lake.lake import Lake
from perennial.runtime.trainer import TrainingWork
from perennial.train.plan import TrainingPlan, plan_ahead, plan_training


def plan_work(
    lake: Lake, day: date, candidate: str, *, until: date | None = None, recompute: bool = False
) -> tuple[TrainingPlan, TrainingWork | None]:
    """
    Plan the training of one candidate of date D. Return the plan and the work, which is None if there is nothing to do.

    :param until: the last date of the batch to train in the same work; None: only `day`
    """
    plan = plan_training(lake, day, candidate, recompute=recompute)
    if plan.job_uri is None or plan.key is None or plan.manifest_uri is None:
        return plan, None
    ahead = plan_ahead(lake, day, until or day, candidate)
    jobs = list(dict.fromkeys([*plan.jobs, *ahead]))
    return plan, TrainingWork(candidate, day.isoformat(), plan.key, [plan.manifest_uri], jobs, has_ahead=bool(ahead))
