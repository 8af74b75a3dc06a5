"""Turn the plan of a training into work for a trainer, in a process or on Kubernetes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

from perennial.config.candidates import parts_of, search_of
from perennial.errors import PerennialError, PipelineRefusedError
from perennial.lake.lake import Lake
from perennial.runtime.trainer import TrainingWork
from perennial.store.content_name import canonical_json, sha256
from perennial.train.plan import TrainingPlan, plan_ahead, plan_comparisons, plan_searches, plan_training
from perennial.train.search_plan import PlannedSearch

log = logging.getLogger(__name__)


def plan_search(lake: Lake, dates: Sequence[date], candidate: str, *, is_experiment: bool = False) -> TrainingWork | None:
    """
    Return the work that finds the parameters of one candidate for some dates; None: they are known.

    It must be done before the trainings are planned, because their fingerprints contain the parameters.

    :param dates: in order; a failed search fails the work only if the first date needs it, or in an experiment
    :raises RefusedError: the training of the first date does not fit into the disk or the memory that it may take
    """
    searches = plan_searches(lake, dates, candidate)
    if not searches:
        return None
    plan = plan_training(lake, dates[0], candidate)
    if plan.searches_on is not None:
        _check_needs(lake, plan, dates[0])
    _log_search(lake, candidate, searches)
    wanted = [item.result for item in searches if is_experiment or item.date == plan.searches_on]
    first, jobs = searches[0], [item.job for item in searches]
    # Production may run the same searches, and the jobs hold the space that the results are written to.
    key = sha256(canonical_json(jobs)) if is_experiment else first.key
    return TrainingWork(
        candidate,
        first.date.isoformat(),
        key,
        wanted,
        jobs,
        has_ahead=len(jobs) > len(wanted),
        stopped={item.result: item.stopped for item in searches if item.result in wanted},
        is_search=True,
    )


def plan_work(
    lake: Lake, day: date, candidate: str, *, until: date | None = None, recompute: bool = False
) -> tuple[TrainingPlan, TrainingWork | None]:
    """
    Plan the training of one candidate of date D. Return the plan and the work, which is None if there is nothing to do.

    :param until: the last date of the batch to train in the same work; None: only `day`
    :raises RefusedError: the training does not fit into the disk or the memory that it may take
    """
    plan = plan_training(lake, day, candidate, recompute=recompute)
    _require_parameters(lake, plan, day)
    if plan.job_uri is None or plan.key is None or plan.manifest_uri is None:
        return plan, None
    _check_settings(lake, candidate)
    _check_parts(lake, day, candidate)
    if plan.window:  # a blend reads no window
        _check_needs(lake, plan, day)
    ahead = plan_ahead(lake, day, until or day, candidate)
    ahead = [*ahead, *plan_comparisons(lake, day, until or day, candidate)]
    jobs = list(dict.fromkeys([*plan.jobs, *ahead]))
    return plan, TrainingWork(candidate, day.isoformat(), plan.key, [plan.manifest_uri], jobs, has_ahead=bool(ahead))


def plan_alone(lake: Lake, days: Sequence[date], candidate: str) -> TrainingWork | None:
    """
    Return the work that trains one candidate for some dates of an experiment; None: there is nothing to do.

    :param days: in order
    :raises RefusedError: a training does not fit into the disk or the memory that it may take
    """
    _check_settings(lake, candidate)
    every = {day: plan_training(lake, day, candidate) for day in days}
    for day, plan in every.items():
        _require_parameters(lake, plan, day)
    plans = {day: plan for day, plan in every.items() if plan.jobs}
    if not plans:
        return None
    for day in plans:
        _check_parts(lake, day, candidate)
    largest = max(plans, key=lambda day: sum(plans[day].rows.values()))
    if plans[largest].window:  # a blend reads no window
        _check_needs(lake, plans[largest], largest)
    jobs = list(dict.fromkeys(job for plan in plans.values() for job in plan.jobs))
    # A model's fingerprint does not name the experiment, and production may train the same model.
    # The jobs hold the space that the model is written to.
    key = sha256(canonical_json(jobs))
    return TrainingWork(candidate, str(days[-1]), key, [str(plan.manifest_uri) for plan in plans.values()], jobs)


def _require_parameters(lake: Lake, plan: TrainingPlan, day: date) -> None:
    if plan.searches_on is not None:
        raise PerennialError(
            f"Pipeline {lake.pipeline.name!r}: the search of {plan.searches_on} for parameters of {plan.candidate!r} has not "
            f"ended. Run train of {day} again."
        )


def _check_settings(lake: Lake, candidate: str) -> None:
    """Refuse a candidate whose library does not accept its settings."""
    from perennial.train.check import candidate_problems

    if problems := candidate_problems(lake.pipeline, candidate):
        raise PipelineRefusedError(f"{lake.pipeline.folder}", problems, "See docs/reference/candidates.md.")


def _check_parts(lake: Lake, day: date, candidate: str) -> None:
    """Refuse a blend before its parts are trained."""
    for part in parts_of(lake.pipeline.training.candidates[candidate]):
        plan = plan_training(lake, day, part)
        if plan.skipped is None and not plan.unchanged:
            raise PerennialError(
                f"Pipeline {lake.pipeline.name!r}: candidate {part!r} of {day} is not trained, and {candidate!r} "
                f"is a blend of it. Run train of {day} first."
            )


def _log_search(lake: Lake, candidate: str, searches: Sequence[PlannedSearch]) -> None:
    """Log what searches take."""
    if (search := search_of(lake.pipeline.training.candidates[candidate])) is not None:
        log.info(
            "Searching for parameters of %s for %s: each search takes about %s trainings, and ends after %s CPU seconds at most",
            candidate,
            ", ".join(str(item.date) for item in searches),
            search.trials,
            search.cpu_seconds,
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
