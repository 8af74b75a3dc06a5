"""Whether a run of a date has anything to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from perennial.analyse.plan import finish_analyse, plan_analyse
from perennial.clean.plan import finish_clean, plan_clean
from perennial.collect.collect import collect
from perennial.collect.drops import pinned_drop, pinned_reference
from perennial.errors import RefusedError
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result, Skipped
from perennial.runtime.base import Runtime
from perennial.store.json_value import JsonValue
from perennial.train.plan import finish_training, plan_training

Facts = dict[str, JsonValue]


def finished_stages(lake: Lake, day: date, runtime: Runtime, run_id: str) -> dict[str, Facts] | None:
    """
    Return the facts of every stage when none has anything to do for `day`; None at the first that has work.

    The stages are asked in their order, because each plans from what the one before it left. Once a stage says that it is
    current, calling it changes nothing and gives its facts. What a stage refuses is left to its own task.
    """
    moment = lake.at_one_moment()
    try:
        data = _data_stages(moment, day)
        # Decisions and releases of other runs are to be seen at once.
        lake = replace(lake, tables=moment.tables)
        models = None if data is None else _model_stages(lake, day, runtime, run_id)
    except RefusedError:
        return None
    return None if data is None or models is None else {**data, **models}


def _data_stages(lake: Lake, day: date) -> dict[str, Facts] | None:
    pinned = (
        *(pinned_drop(lake, source, day) for source in lake.pipeline.sources),
        *(pinned_reference(lake, name) for name in lake.pipeline.references),
    )
    if None in pinned:
        return None
    # It has nothing to read now, unless an earlier date has landed late.
    collected = collect(lake, day)
    if collected.outcome != Outcome.UNCHANGED or plan_clean(lake, day).job_uri is not None:
        return None
    cleaned = finish_clean(lake, day)
    if plan_analyse(lake, day).job_uri is not None:
        return None
    return {"collect": collected.to_json(), "clean": _unchanged(cleaned), "analyse": _unchanged(finish_analyse(lake, day))}


def _model_stages(lake: Lake, day: date, runtime: Runtime, run_id: str) -> dict[str, Facts] | None:
    plans = {name: plan_training(lake, day, name) for name in lake.pipeline.training.candidates}
    for plan in plans.values():
        if plan.skipped is not None:
            return {stage: Skipped(reason=plan.skipped).to_json() for stage in ("train", "evaluate", "deploy")}
    if not all(plan.unchanged for plan in plans.values()):
        return None
    # Imported here: they bring scikit-learn, and most runs have already found work to do.
    from perennial.deploy import deploy
    from perennial.evaluate import evaluate

    if not (evaluate.is_current(lake, day) and deploy.is_current(lake, day, runtime)):
        return None
    trained: Facts = {name: finish_training(lake, plan).to_json() for name, plan in plans.items()}
    return {
        "train": {"outcome": Outcome.UNCHANGED.value, "candidates": trained},
        "evaluate": evaluate.evaluate(lake, day, run_id=run_id).to_json(),
        "deploy": deploy.deploy(lake, day, runtime).to_json(),
    }


def _unchanged(result: Result) -> Facts:
    return replace(result, outcome=Outcome.UNCHANGED).to_json()
