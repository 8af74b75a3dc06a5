"""The tasks of a run that are plain Python. Each opens the lake, calls its stage and returns a small result."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from typing import Any, NoReturn

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from perennial.lake.result import Skipped
from perennial.stages import Run, stage_named
from perennial.store.json_value import JsonValue
from perennial_airflow.lake import lake_of
from perennial_airflow.run_request import read_params
from perennial_airflow.summary import HEADLINE, HEADLINE_TEMPLATE, describe_result, to_lines

log = logging.getLogger(__name__)

# Airflow reads this module at every parse of the DAGs, so it must stay light. It fills keywords whose default is None from the
# run's context.


@task
def fail(text: str) -> None:
    """Fail with the reason why there is nothing to run."""
    from perennial.errors import RefusedError

    raise RefusedError(text)


@task(show_return_value_in_logs=False, map_index_template=HEADLINE_TEMPLATE)
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
    """Run a stage for the date and the batch of the run. A stage that ends the run is skipped, with the reason as its result."""
    stage_of_run, asked = stage_named(stage), read_params(params)
    run = Run(
        lake=lake_of(pipeline),
        day=date.fromisoformat(day),
        run_id=dag_run.run_id,
        until=date.fromisoformat(until),
        recompute=bool(asked["recompute"]),
        force_decision=asked["force_decision"],
        force_reason=asked["force_reason"],
        by=dag_run.triggering_user_name,
    )
    result = stage_of_run.run(run, candidate)
    _show(stage, result.to_json())
    if stage_of_run.skip_ends_run and isinstance(result, Skipped):
        skip(ti, result)
    return result.to_json()


def _show(stage: str, result: Mapping[str, JsonValue]) -> None:
    """Log a result line by line, and show its headline in the list of the run's tasks."""
    for line in to_lines(result):
        log.info("%s", line)
    if headline := describe_result(stage, result):
        get_current_context()[HEADLINE] = headline  # type: ignore[literal-required]


def skip(ti: Any, result: Skipped) -> NoReturn:
    """End this task and those that follow as skipped, with the reason as the result."""
    ti.xcom_push(key="return_value", value=result.to_json())
    raise AirflowSkipException(result.reason)


@task
def clean_up(pipelines: list[str]) -> list[str]:
    """Remove the objects that interrupted work left on the cluster."""
    from perennial.deploy.janitor import clean_up as remove

    return [f"{orphan.kind} {orphan.name}: {orphan.why}" for orphan in remove([lake_of(name) for name in pipelines])]
