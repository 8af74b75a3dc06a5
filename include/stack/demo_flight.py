"""Requests for flights that have not happened yet, as an airline would send them: the demo's input for /predict."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from perennial.calendar import DAY
from perennial.demo.feed import drop_rows

WEATHER = ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
OBSERVED_BEFORE = timedelta(hours=3)
RECENT_MINUTES = (360, 180)
"""Window of recent departures: from six to three hours before a flight. They are known three hours before it."""

LATE_MINUTES = 15
MIN_DEPARTURES = 5

Row = dict[str, str]
Record = dict[str, Any]


def flight_record(day: date, origin: str = "JFK", hour: int = 17) -> Record:
    """Return the first flight of `day` from an airport in an hour, with its schedule and the weather three hours before."""
    return next(
        record
        for row, record in flight_records(day)
        if row["origin"] == origin and int(row["hour"]) == hour and row["tailnum"] != "NA"
    )


def flight_records(day: date) -> list[tuple[Row, Record]]:
    """Return every flight of a day as the row that will land and as the request record for it."""
    flights = drop_rows("flights", day)
    in_day = Counter(row["origin"] for row in flights)
    in_hour = Counter((row["origin"], row["hour"]) for row in flights)
    recent_late_share = _punctuality(flights)
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
                "recent_late_share": recent_late_share(row),
                **{name: row[name] for name in ("carrier", "origin", "dest", "flight")},
                "tailnum": None if row["tailnum"] == "NA" else row["tailnum"],
            },
        )
        for row in flights
    ]


def _observed(row: Row) -> dict[str, float | None]:
    return {name: None if row.get(name, "NA") == "NA" else float(row[name]) for name in WEATHER}


def _punctuality(flights: list[Row]) -> Callable[[Row], float | None]:
    """Return a function that maps a flight to the share of late departures among its airport's recent ones."""
    departures: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in flights:
        if row["dep_delay"] != "NA":
            departures[row["origin"]].append((_minute(row["sched_dep_time"]) + float(row["dep_delay"]), float(row["dep_delay"])))
    for of_origin in departures.values():
        of_origin.sort()
    moments = {origin: [moment for moment, _ in of_origin] for origin, of_origin in departures.items()}

    def share(row: Row) -> float | None:
        origin, departure = row["origin"], _minute(row["sched_dep_time"])
        begin, end = (bisect_right(moments.get(origin, []), departure - before) for before in RECENT_MINUTES)
        delays = [delay for _, delay in departures[origin][begin:end]]
        return sum(delay >= LATE_MINUTES for delay in delays) / len(delays) if len(delays) >= MIN_DEPARTURES else None

    return share


def _minute(hhmm: str) -> int:
    return int(hhmm) // 100 * 60 + int(hhmm) % 100


def _clock(hhmm: str) -> str:
    return f"{int(hhmm) // 100:02d}:{int(hhmm) % 100:02d}"
