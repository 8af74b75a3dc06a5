"""Registers with Airflow what it looks up by plugin; the code itself is in the package perennial_airflow."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from perennial_airflow.timetable import LocalDaysTimetable


async def perennial_app(scope: Any, receive: Any, send: Any) -> None:
    """Pass a request on; the app is imported at the first one, since all of Airflow's processes read this file."""
    from perennial_airflow.report_app import app

    await app(scope, receive, send)


class PerennialPlugin(AirflowPlugin):
    """The timetable of the pipelines, without which the scheduler cannot read their stored DAGs, and the report beside a run."""

    name = "perennial"
    timetables: ClassVar = [LocalDaysTimetable]
    fastapi_apps: ClassVar = [{"app": perennial_app, "url_prefix": "/perennial", "name": "Perennial"}]
    external_views: ClassVar = [
        {"name": "Report", "href": "/perennial/report/{DAG_ID}", "destination": "dag_run", "url_route": "perennial-report"}
    ]
