"""The DAG `perennial_janitor`: every hour, removes the pods and releases that interrupted work left on Kubernetes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from perennial.config.load import FILE, load_pipeline, pipeline_names, pipelines_folder
from perennial.config.text import read_text
from perennial.errors import PerennialError
from perennial.runtime.kind import runtime_of
from perennial.settings import get_settings
from perennial_airflow import tasks


def on_kubernetes() -> list[str]:
    """Return the pipelines that train and serve on a cluster. refused_pipelines.py shows refused ones."""
    names = []
    for name in pipeline_names():
        try:
            if _may_be_on_kubernetes(name) and runtime_of(load_pipeline(name)) == "kubernetes":
                names.append(name)
        except (PerennialError, OSError):
            continue
    return names


def _may_be_on_kubernetes(name: str) -> bool:
    """Return False for most other pipelines, cheaply: Airflow parses this file often, and loading a hundred pipelines is slow."""
    return get_settings().runtime is not None or "kubernetes" in read_text(pipelines_folder() / name, FILE)


if names := on_kubernetes():
    with DAG(
        dag_id="perennial_janitor",
        description="Removes the pods and releases that interrupted work left on Kubernetes",
        doc_md="Removes training pods that ended an hour ago and releases without traffic. `perennial janitor` does the same.",
        schedule=timedelta(hours=1),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["maintenance"],
        default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    ):
        tasks.clean_up(names)
