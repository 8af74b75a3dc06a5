"""The Airflow plugin: registers the timetable and the report page. Their code is in the package perennial_airflow."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from perennial_airflow.timetable import LocalDaysTimetable


async def perennial_app(scope: Any, receive: Any, send: Any) -> None:
    """Pass a request to the app. It is imported at the first request, because every Airflow process reads this file."""
    from perennial_airflow.report_app import app

    await app(scope, receive, send)


class PerennialPlugin(AirflowPlugin):
    """The timetable, which the scheduler needs to read the stored DAGs, and the report beside each run."""

    name = "perennial"
    timetables: ClassVar = [LocalDaysTimetable]
    fastapi_apps: ClassVar = [{"app": perennial_app, "url_prefix": "/perennial", "name": "Perennial"}]
    external_views: ClassVar = [
        {"name": "Report", "href": "/perennial/report/{DAG_ID}", "destination": "dag", "url_route": "perennial-report-dag"},
        {
            "name": "Report",
            "href": "/perennial/report/{DAG_ID}/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "perennial-report",
        },
    ]
