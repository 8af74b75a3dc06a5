"""The tasks of a run that are our own code; each opens the lake, calls its stage and returns a small result."""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from perennial_airflow.lake import lake_of
from perennial_airflow.run_request import read_request

# Stages are imported inside the tasks: this module is read at every parse of the DAGs and must stay light. The keywords with
# the default None are filled by Airflow from the run's context.


@task
def plan_run(pipeline: str, *, dag_run: Any = None, params: Any = None, ti: Any = None) -> dict[str, Any]:
    """Settle the run's date, refuse bad params, and end the run here when nothing about the date has changed."""
    from perennial.runtime.choice import open_runtime
    from perennial.unchanged import unchanged_stages

    lake = lake_of(pipeline)
    request = read_request(
        lake.pipeline.calendar,
        conf=dag_run.conf or {},
        params=params,
        interval_start=dag_run.data_interval_start,
        run_after=dag_run.run_after,
        manual=str(dag_run.run_type) == "manual",
    )
    plan = {"date": request.day.isoformat(), "outcome": "done"}
    if request.recompute or request.force_decision:
        return plan
    stages = unchanged_stages(lake, request.day, open_runtime(lake.pipeline), dag_run.run_id)
    if stages is None:
        return plan
    ti.xcom_push(key="return_value", value={**plan, "outcome": "unchanged", "stages": stages})
    raise DownstreamTasksSkipped(tasks=sorted(ti.task.downstream_task_ids))


@task
def collect(pipeline: str, day: str) -> dict[str, Any]:
    """Verify the drops of the date and pin their bytes."""
    from perennial.collect.collect import collect as collect_drops

    return collect_drops(lake_of(pipeline), date.fromisoformat(day))


@task(map_index_template="{{ task.op_kwargs['candidate'] }}")
def train(pipeline: str, day: str, candidate: str, *, params: Any = None, ti: Any = None) -> dict[str, Any]:
    """Train one candidate in a process of its own; skip when there is too little history."""
    from perennial.runtime.process import train as train_in_process
    from perennial.train.plan import finish_training, plan_training

    lake = lake_of(pipeline)
    plan = plan_training(lake, date.fromisoformat(day), candidate, recompute=params["recompute"])
    if plan.skipped is not None:
        skip_training(ti, plan)
    if plan.job_uri is not None:
        train_in_process([plan.job_uri])
    return finish_training(lake, plan)


def skip_training(ti: Any, plan: Any) -> None:
    """End a training that has too little history as skipped, with the reason as its result."""
    ti.xcom_push(key="return_value", value={"outcome": "skipped", "reason": plan.skipped, "name": plan.candidate})
    raise AirflowSkipException(plan.skipped)


@task
def evaluate(pipeline: str, day: str, *, dag_run: Any = None, params: Any = None) -> dict[str, Any]:
    """Judge the candidates against the incumbent and record the decision."""
    from perennial.evaluate.evaluate import evaluate as judge

    return judge(
        lake_of(pipeline),
        date.fromisoformat(day),
        run_id=dag_run.run_id,
        force_decision=params["force_decision"],
        force_reason=params["force_reason"],
    )


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
    from perennial.pipeline_file import load_pipeline
    from perennial.runtime.janitor import clean_up as remove

    return [f"{one.kind} {one.name}: {one.why}" for one in remove([load_pipeline(name) for name in pipelines])]
