"""The tasks of a run that are our own code; each opens the lake, calls its stage and returns a small result."""

from __future__ import annotations

from datetime import date
from typing import Any, NoReturn

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from perennial.lake.result import Skipped
from perennial.stages import Run, stage_named
from perennial.store.json_value import JsonValue
from perennial_airflow.lake import lake_of

# This module is read at every parse of the DAGs and must stay light. Airflow fills the keywords with the default None from the
# run's context.


@task
def fail(text: str) -> None:
    """Say why there is nothing to run."""
    from perennial.errors import RefusedError

    raise RefusedError(text)


@task
def run_stage(
    pipeline: str,
    stage: str,
    day: str,
    until: str,
    candidate: str | None = None,
    *,
    dag_run: Any = None,
    params: Any = None,
    ti: Any = None,
) -> dict[str, JsonValue]:
    """Run a stage for the date and the batch of the run; a stage that ends the run is skipped with its reason as the result."""
    named = stage_named(stage)
    run = Run(
        lake=lake_of(pipeline),
        day=date.fromisoformat(day),
        run_id=dag_run.run_id,
        until=date.fromisoformat(until),
        recompute=params["recompute"],
        force_decision=params["force_decision"],
        force_reason=params["force_reason"],
    )
    result = named.run(run, candidate)
    if named.skip_ends_run and isinstance(result, Skipped):
        skip(ti, result)
    return result.to_json()


def skip(ti: Any, result: Skipped) -> NoReturn:
    """End the task as skipped, and with it those that follow, with the reason as its result."""
    ti.xcom_push(key="return_value", value=result.to_json())
    raise AirflowSkipException(result.reason)


@task
def clean_up(pipelines: list[str]) -> list[str]:
    """Take away what interrupted work left on the cluster."""
    from perennial.deploy.janitor import clean_up as remove

    return [f"{one.kind} {one.name}: {one.why}" for one in remove([lake_of(name) for name in pipelines])]
