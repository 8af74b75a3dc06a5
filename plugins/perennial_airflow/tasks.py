"""The tasks of a run that are our own code; each opens the lake, calls its stage and returns a small result."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from perennial.store.json_value import JsonValue
from perennial_airflow.lake import lake_of

log = logging.getLogger(__name__)

# Stages are imported inside the tasks: this module is read at every parse of the DAGs and must stay light. The keywords with
# the default None are filled by Airflow from the run's context.


@task
def fail(text: str) -> None:
    """Say why there is nothing to run."""
    from perennial.errors import RefusedError

    raise RefusedError(text)


@task
def collect(pipeline: str, day: str, until: str) -> dict[str, JsonValue]:
    """Verify the drops of the date, and of those that it works ahead for, and pin their bytes."""
    from perennial.collect.collect import collect as collect_drops

    return collect_drops(lake_of(pipeline), date.fromisoformat(day), date.fromisoformat(until)).to_json()


@task(map_index_template="{{ task.op_kwargs['candidate'] }}")
def train(pipeline: str, day: str, until: str, candidate: str, *, params: Any = None, ti: Any = None) -> dict[str, JsonValue]:
    """Train one candidate in a process of its own, with the dates that the run works ahead for; skip when there is too little history."""
    from perennial.errors import PerennialError
    from perennial.runtime.process import train as train_in_process
    from perennial.runtime.process import trainers_at_once
    from perennial.train.plan import finish_training, plan_ahead, plan_training

    lake, own = lake_of(pipeline), date.fromisoformat(day)
    plan = plan_training(lake, own, candidate, recompute=params["recompute"])
    if plan.skipped is not None:
        skip_training(ti, plan)
    if plan.job_uri is not None:
        ahead = plan_ahead(lake, own, date.fromisoformat(until), candidate)
        try:
            jobs = list(dict.fromkeys([*plan.jobs, *ahead]))
            train_in_process(jobs, processes=trainers_at_once(lake.pipeline.training, len(ahead)))
        except PerennialError as error:
            # Its own job comes first. What another date lacks is that date's failure, and its run will say so.
            if not ahead or not lake.objects.exists(str(plan.manifest_uri)):
                raise
            log.warning("Training ahead ended early, the dates that are left train in their own runs: %s", error)
    return finish_training(lake, plan).to_json()


def skip_training(ti: Any, plan: Any) -> None:
    """End a training that has too little history as skipped, with the reason as its result."""
    ti.xcom_push(key="return_value", value={"outcome": "skipped", "reason": plan.skipped, "name": plan.candidate})
    raise AirflowSkipException(plan.skipped)


@task
def evaluate(pipeline: str, day: str, until: str, *, dag_run: Any = None, params: Any = None) -> dict[str, JsonValue]:
    """Judge the candidates against the incumbent and record the decision; then those of the dates that the run works ahead for."""
    from perennial.evaluate.evaluate import evaluate as judge
    from perennial.evaluate.evaluate import evaluate_ahead

    lake, own, run_id = lake_of(pipeline), date.fromisoformat(day), dag_run.run_id
    force = {key: params[key] for key in ("force_decision", "force_reason")}
    result = judge(lake, own, run_id=run_id, **force)
    evaluate_ahead(lake, own, date.fromisoformat(until), run_id=run_id)
    return result.to_json()


@task
def deploy(pipeline: str, day: str) -> dict[str, JsonValue]:
    """Release the champion with the newest lookups, when the date is the newest."""
    from perennial.deploy.deploy import deploy as release
    from perennial.runtime.choice import open_runtime

    lake = lake_of(pipeline)
    return release(lake, date.fromisoformat(day), open_runtime(lake.pipeline)).to_json()


@task
def clean_up(pipelines: list[str]) -> list[str]:
    """Take away what interrupted work left on the cluster."""
    from perennial.deploy.janitor import clean_up as remove

    return [f"{one.kind} {one.name}: {one.why}" for one in remove([lake_of(name) for name in pipelines])]
