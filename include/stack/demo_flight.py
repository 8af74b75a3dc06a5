"""Flights that have not happened yet, as their airlines would ask about them: what /predict is sent in the demo."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

from perennial.calendar import DAY
from perennial.collect.feed import drop_rows

WEATHER = ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
OBSERVED_BEFORE = timedelta(hours=3)

Row = dict[str, str]
Record = dict[str, Any]


def flight_record(day: date, origin: str = "JFK", hour: int = 17) -> Record:
    """Return the first flight of `day` of an airport and hour, with its schedule and the weather of three hours before."""
    return next(
        record
        for row, record in flight_records(day)
        if row["origin"] == origin and int(row["hour"]) == hour and row["tailnum"] != "NA"
    )


def flight_records(day: date) -> list[tuple[Row, Record]]:
    """Return every flight of a day as the row that will land and as the record that asks about it."""
    flights = drop_rows("flights", day)
    in_day = Counter(row["origin"] for row in flights)
    in_hour = Counter((row["origin"], row["hour"]) for row in flights)
    weather = {
        (row["origin"], datetime.fromisoformat(row["time_hour"])): row
        for observed in (day - DAY, day)
        for row in drop_rows("weather", observed)
    }
    return [
        (
            row,
            {
                "date": day.isoformat(),
                "sched_dep_time": _clock(row["sched_dep_time"]),
                "sched_arr_time": _clock(row["sched_arr_time"]),
                "distance": float(row["distance"]),
                "flights_same_hour": float(in_hour[row["origin"], row["hour"]]),
                "flights_same_day": float(in_day[row["origin"]]),
                **_observed(weather.get((row["origin"], datetime.fromisoformat(row["time_hour"]) - OBSERVED_BEFORE), {})),
                **{name: row[name] for name in ("carrier", "origin", "dest", "flight")},
                "tailnum": None if row["tailnum"] == "NA" else row["tailnum"],
            },
        )
        for row in flights
    ]


def _observed(row: Row) -> dict[str, float | None]:
    return {name: None if row.get(name, "NA") == "NA" else float(row[name]) for name in WEATHER}


def _clock(hhmm: str) -> str:
    return f"{int(hhmm) // 100:02d}:{int(hhmm) % 100:02d}"
