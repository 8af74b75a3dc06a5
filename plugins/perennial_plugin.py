"""Registers with Airflow what it looks up by plugin; the code itself is in the package perennial_airflow."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from perennial_airflow.timetable import LocalDaysTimetable


class PerennialPlugin(AirflowPlugin):
    """The timetable of the pipelines: without it the scheduler cannot read their stored DAGs."""

    name = "perennial"
    timetables: ClassVar = [LocalDaysTimetable]
