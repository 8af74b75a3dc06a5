"""A flight that has not happened yet, as its airline would ask about it: what /predict is sent in the demo."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from perennial.collect.feed import drop_rows

WEATHER = ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
OBSERVED_BEFORE = timedelta(hours=3)


def flight_record(day: date, origin: str = "JFK", hour: int = 17) -> dict[str, Any]:
    """Return the first flight of `day` of an airport and hour, with its schedule and the weather of three hours before."""
    departures = [row for row in drop_rows("flights", day) if row["origin"] == origin]
    flight = next(row for row in departures if int(row["hour"]) == hour and row["tailnum"] != "NA")
    observed = datetime.fromisoformat(flight["time_hour"]) - OBSERVED_BEFORE
    weather: dict[str, str] = next(
        (
            row
            for row in drop_rows("weather", day)
            if row["origin"] == origin and datetime.fromisoformat(row["time_hour"]) == observed
        ),
        {},
    )
    return {
        "date": day.isoformat(),
        "sched_dep_time": _clock(flight["sched_dep_time"]),
        "sched_arr_time": _clock(flight["sched_arr_time"]),
        "distance": float(flight["distance"]),
        "flights_same_hour": float(sum(row["hour"] == flight["hour"] for row in departures)),
        "flights_same_day": float(len(departures)),
        **{name: None if weather.get(name, "NA") == "NA" else float(weather[name]) for name in WEATHER},
        **{name: flight[name] for name in ("carrier", "origin", "dest", "flight", "tailnum")},
    }


def _clock(hhmm: str) -> str:
    return f"{int(hhmm) // 100:02d}:{int(hhmm) % 100:02d}"
