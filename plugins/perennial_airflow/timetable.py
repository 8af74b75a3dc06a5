"""The timetable of a pipeline: one run after every complete local day with data, until its data ends."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.sdk import timezone
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from airflow.utils.types import DagRunType

from perennial.calendar import DAY, EVERY_DAY, DataDays, midnight


class LocalDaysTimetable(Timetable):
    """
    One run for each local day with data, at its end. A day has 23 or 25 hours when the clocks change. Rest days have no interval.

    A DAG's `end_date` would also end the schedule, but then the tasks of later manual runs would never start.

    :param time_zone: IANA name of the pipeline's time zone
    :param end: the last day that runs; None for a pipeline without an end
    :param data_days: the days that have data
    """

    def __init__(self, time_zone: str, end: date | None = None, data_days: DataDays = EVERY_DAY) -> None:
        self.time_zone = time_zone
        self.end = end
        self.data_days = data_days
        self._zone = ZoneInfo(time_zone)
        some = "" if data_days.is_daily else " that has data"
        self.description = f"Every local day of {time_zone}{some}" + (f", the last is {end}" if end else "")

    @property
    def summary(self) -> str:
        often = "daily" if self.data_days.is_daily else "on days with data"
        return f"{often}, {self.time_zone}" + (f", until {self.end}" if self.end else "")

    def serialize(self) -> dict[str, Any]:
        stored = {"time_zone": self.time_zone, "end": self.end and self.end.isoformat()}
        if self.data_days.is_daily:
            return stored  # the format from before rest days existed, so that the DAG gets no new version
        holidays = [day.isoformat() for day in sorted(self.data_days.holidays)]
        return {**stored, "weekdays": sorted(self.data_days.weekdays), "holidays": holidays}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> LocalDaysTimetable:
        end = date.fromisoformat(data["end"]) if data["end"] else None
        if "weekdays" not in data:
            return cls(data["time_zone"], end)
        holidays = frozenset(date.fromisoformat(day) for day in data["holidays"])
        return cls(data["time_zone"], end, DataDays(frozenset(data["weekdays"]), holidays))

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        return self._interval(self.data_days.newest(self._day(run_after) - DAY))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        possible = []
        if last_automated_data_interval is not None:
            possible.append(self._first_from(last_automated_data_interval.end))
        if restriction.earliest is not None:
            possible.append(self._first_from(restriction.earliest))
        if not restriction.catchup:
            possible.append(self.data_days.newest(self._day(timezone.utcnow()) - DAY))
        if not possible:
            return None
        day = self.data_days.after(max(possible) - DAY)
        interval = self._interval(day)
        if (self.end and day > self.end) or (restriction.latest is not None and interval.start > restriction.latest):
            return None
        if restriction.catchup:
            # Only a backfill asks with `catchup`. Airflow names its runs by `run_after`: let that be the date of the data.
            return DagRunInfo(run_after=interval.start.in_timezone(self.time_zone), data_interval=interval)
        return DagRunInfo.interval(interval.start, interval.end)

    def generate_run_id(self, *, run_type: DagRunType, data_interval: DataInterval | None, **extra: Any) -> str:
        """
        Return the id of a run: a scheduled run bears the date of its data.

        Other runs do not: a manual run may be of any date, which Airflow does not tell here.
        """
        if run_type is DagRunType.SCHEDULED and data_interval is not None:
            return run_type.generate_run_id(suffix=self._day(data_interval.start).isoformat())
        return super().generate_run_id(run_type=run_type, data_interval=data_interval, **extra)

    def _day(self, instant: datetime) -> date:
        return instant.astimezone(self._zone).date()

    def _first_from(self, instant: datetime) -> date:
        """Return the first day that begins at `instant` or later."""
        day = self._day(instant)
        return day if midnight(day, self._zone) >= instant else day + DAY

    def _interval(self, day: date) -> DataInterval:
        return DataInterval(*(pendulum.instance(midnight(d, self._zone)) for d in (day, day + DAY)))
