"""The tasks of a run that are our own code; each opens the lake, calls its stage and returns a small result."""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from perennial_airflow.lake import lake_of

# Stages are imported inside the tasks: this module is read at every parse of the DAGs and must stay light. The keywords with
# the default None are filled by Airflow from the run's context.


@task
def fail(text: str) -> None:
    """Say why there is nothing to run."""
    from perennial.errors import RefusedError

    raise RefusedError(text)


@task
def collect(pipeline: str, day: str, until: str) -> dict[str, Any]:
    """Verify the drops of the date, and of those that it works ahead for, and pin their bytes."""
    from perennial.collect.collect import collect as collect_drops

    return collect_drops(lake_of(pipeline), date.fromisoformat(day), date.fromisoformat(until))


@task(map_index_template="{{ task.op_kwargs['candidate'] }}")
def train(pipeline: str, day: str, until: str, candidate: str, *, params: Any = None, ti: Any = None) -> dict[str, Any]:
    """Train one candidate in a process of its own, with the dates that the run works ahead for; skip when there is too little history."""
    from perennial.runtime.choice import open_trainer
    from perennial.train.plan import finish_training
    from perennial.train.work import plan_work

    lake, last = lake_of(pipeline), date.fromisoformat(until)
    plan, work = plan_work(lake, date.fromisoformat(day), candidate, until=last, recompute=params["recompute"])
    if plan.skipped is not None:
        skip_training(ti, plan)
    if work is not None:
        open_trainer(lake).train(work)
    return finish_training(lake, plan)


def skip_training(ti: Any, plan: Any) -> None:
    """End a training that has too little history as skipped, with the reason as its result."""
    ti.xcom_push(key="return_value", value={"outcome": "skipped", "reason": plan.skipped, "name": plan.candidate})
    raise AirflowSkipException(plan.skipped)


@task
def evaluate(pipeline: str, day: str, until: str, *, dag_run: Any = None, params: Any = None) -> dict[str, Any]:
    """Judge the candidates against the incumbent and record the decision; then those of the dates that the run works ahead for."""
    from perennial.evaluate.evaluate import evaluate as judge
    from perennial.evaluate.evaluate import evaluate_ahead

    lake, own, run_id = lake_of(pipeline), date.fromisoformat(day), dag_run.run_id
    force = {key: params[key] for key in ("force_decision", "force_reason")}
    result = judge(lake, own, run_id=run_id, **force)
    evaluate_ahead(lake, own, date.fromisoformat(until), run_id=run_id)
    return result


@task
def deploy(pipeline: str, day: str) -> dict[str, Any]:
    """Release the champion with the newest lookups, when the date is the newest."""
    from perennial.deploy.deploy import deploy as release
    from perennial.runtime.choice import open_runtime

    lake = lake_of(pipeline)
    return release(lake, date.fromisoformat(day), open_runtime(lake.pipeline))


@task
def clean_up(pipelines: list[str]) -> list[str]:
    """Take away what interrupted work left on the cluster."""
    from perennial.deploy.janitor import clean_up as remove

    return [f"{one.kind} {one.name}: {one.why}" for one in remove([lake_of(name) for name in pipelines])]
