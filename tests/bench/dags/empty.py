"""The DAG `empty`: as many tasks in a row as a run of a pipeline has, which do nothing. For bench-history."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, chain, task

TASKS = 8


@task
def nothing() -> None:
    """Do nothing."""


with DAG(dag_id="empty", schedule=None, start_date=datetime(2013, 1, 1, tzinfo=UTC), catchup=False):
    chain(*[nothing.override(task_id=f"nothing_{index}")() for index in range(TASKS)])
