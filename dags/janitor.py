"""The DAG `perennial_janitor`: every hour, takes away what interrupted trainings and deploys left on Kubernetes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from perennial.config.load import FILE, load_pipeline, pipeline_names, pipelines_folder
from perennial.errors import PerennialError
from perennial.runtime.choice import runtime_of
from perennial.settings import get_settings
from perennial_airflow import tasks


def on_kubernetes() -> list[str]:
    """Return the pipelines that train and serve on a cluster; a refused one is shown by refused_pipelines.py."""
    found = []
    for name in pipeline_names():
        try:
            if _may_be(name) and runtime_of(load_pipeline(name)) == "kubernetes":
                found.append(name)
        except (PerennialError, OSError):
            continue
    return found


def _may_be(name: str) -> bool:
    """Tell whether a pipeline may be one: this file is parsed again and again, and reading a hundred of them takes a while."""
    return get_settings().runtime is not None or b"kubernetes" in (pipelines_folder() / name / FILE).read_bytes()


if names := on_kubernetes():
    with DAG(
        dag_id="perennial_janitor",
        description="Takes away what interrupted work left on Kubernetes",
        doc_md="Removes training pods that ended an hour ago and releases that serve nobody. `perennial janitor` does the same.",
        schedule=timedelta(hours=1),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["maintenance"],
        default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    ):
        tasks.clean_up(names)
