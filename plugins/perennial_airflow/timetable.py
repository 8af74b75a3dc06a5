"""When a pipeline runs: after every whole local day, until its data ends."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.sdk import timezone
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from perennial.calendar import DAY, midnight


class LocalDaysTimetable(Timetable):
    """
    One run a local day, at its end; a day has 23 or 25 hours where the clocks change.

    A DAG's `end_date` would do for the schedule, but then tasks of later manual runs would never start.

    :param time_zone: IANA name of the pipeline's time zone
    :param end: the last day that runs; None for a pipeline that goes on
    """

    def __init__(self, time_zone: str, end: date | None = None) -> None:
        self.time_zone = time_zone
        self.end = end
        self._zone = ZoneInfo(time_zone)
        self.description = f"Every local day of {time_zone}" + (f", the last is {end}" if end else "")

    @property
    def summary(self) -> str:
        return f"daily, {self.time_zone}" + (f", until {self.end}" if self.end else "")

    def serialize(self) -> dict[str, Any]:
        return {"time_zone": self.time_zone, "end": self.end and self.end.isoformat()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> LocalDaysTimetable:
        return cls(data["time_zone"], date.fromisoformat(data["end"]) if data["end"] else None)

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        return self._interval(self._day(run_after) - DAY)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        possible = []
        if last_automated_data_interval is not None:
            possible.append(self._first_from(last_automated_data_interval.end))
        if restriction.earliest is not None:
            possible.append(self._first_from(restriction.earliest))
        if not restriction.catchup:
            possible.append(self._day(timezone.utcnow()) - DAY)
        if not possible:
            return None
        day = max(possible)
        interval = self._interval(day)
        if (self.end and day > self.end) or (restriction.latest is not None and interval.start > restriction.latest):
            return None
        return DagRunInfo.interval(interval.start, interval.end)

    def _day(self, instant: datetime) -> date:
        return instant.astimezone(self._zone).date()

    def _first_from(self, instant: datetime) -> date:
        """Return the first day that begins at `instant` or later."""
        day = self._day(instant)
        return day if midnight(day, self._zone) >= instant else day + DAY

    def _interval(self, day: date) -> DataInterval:
        return DataInterval(*(pendulum.instance(midnight(d, self._zone)) for d in (day, day + DAY)))
