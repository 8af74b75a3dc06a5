"""Requests for flights that have not happened yet, as an airline would send them: the demo's input for /predict."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from perennial.calendar import DAY
from perennial.config.load import load_pipeline
from perennial.config.values import Range
from perennial.demo.feed import drop_rows

WEATHER = ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
WEATHER_OF_NETWORK = ("wind_speed", "precip", "pressure", "visib")
KNOWN_BEFORE = timedelta(hours=3)
"""A request is sent three hours before the departure: it holds the weather and the departures until then."""

KNOWN_MINUTES = 180
RECENT_MINUTES = 180
"""Recent departures are those of the last three known hours."""

LATE_MINUTES = 15
MAX_DELAY_MINUTES = 180
"""A longer delay counts as this one in a mean; an early departure counts as none."""

MIN_DEPARTURES = 5
MIN_OF_CARRIER = 3
EVENING_MINUTE = 19 * 60

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
    known = KnownDepartures(flights)
    evening_late_share = _evening_late_shares(drop_rows("flights", day - DAY))
    weather: defaultdict[datetime, dict[str, Row]] = defaultdict(dict)
    ranges = {name: column.range for name, column in load_pipeline("flight_delays").sources["weather"].columns.items()}
    for row in [*drop_rows("weather", day - DAY), *drop_rows("weather", day)]:
        if _is_kept(row, ranges):
            weather[datetime.fromisoformat(row["time_hour"])][row["origin"]] = row
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
                **_weather(weather[datetime.fromisoformat(row["time_hour"]) - KNOWN_BEFORE], row["origin"]),
                **known.fields(row),
                "evening_late_share": evening_late_share.get(row["origin"]),
                **{name: row[name] for name in ("carrier", "origin", "dest", "flight")},
                "tailnum": None if row["tailnum"] == "NA" else row["tailnum"],
            },
        )
        for row in flights
    ]


def _is_kept(row: Row, ranges: Mapping[str, Range | None]) -> bool:
    """Return whether a row keeps to its contract. A report of the weather that claims a wind of 1,048 miles an hour does not."""
    return all(row[name] == "NA" or found[0] <= float(row[name]) <= found[1] for name, found in ranges.items() if found)


def _weather(by_origin: Mapping[str, Row], origin: str) -> dict[str, float | None]:
    """Return the request fields of the weather in an hour: that of an airport, and means over all that reported it."""
    here = by_origin.get(origin, {})
    known = {name: [Decimal(row[name]) for row in by_origin.values() if row[name] != "NA"] for name in WEATHER_OF_NETWORK}
    return {
        **{name: None if here.get(name, "NA") == "NA" else float(here[name]) for name in WEATHER},
        **{f"network_{name}": float(sum(values)) / len(values) if values else None for name, values in known.items()},
    }


class KnownDepartures:
    """
    A day's departures, as they are known three hours before each of its flights.

    :param flights: the rows of the day's drop
    """

    def __init__(self, flights: Iterable[Row]) -> None:
        self._scheduled: defaultdict[str, list[int]] = defaultdict(list)
        self._departures: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for row in flights:
            self._scheduled[row["origin"]].append(_minute(row["sched_dep_time"]))
            if row["dep_delay"] != "NA":
                delay = float(row["dep_delay"])
                for group in ("network", "origin", "carrier", "tailnum"):  # no row has a network, so all share one
                    self._departures[group, row.get(group, "")].append((_minute(row["sched_dep_time"]) + delay, delay))
        for minutes in self._scheduled.values():
            minutes.sort()
        for departures in self._departures.values():
            departures.sort()

    def fields(self, row: Row) -> dict[str, float | None]:
        """Return the request fields of a flight that depend on earlier departures of its day."""
        moment = _minute(row["sched_dep_time"]) - KNOWN_MINUTES
        airport, network, carrier = (self._delays(group, row, moment) for group in ("origin", "network", "carrier"))
        recent, recent_of_network = (
            self._delays(group, row, moment, since=moment - RECENT_MINUTES) for group in ("origin", "network")
        )
        aircraft = self._delays("tailnum", row, moment) if row["tailnum"] != "NA" else []
        return {
            "flights_waiting": float(bisect_right(self._scheduled[row["origin"]], moment) - len(airport)),
            "recent_delay": _mean_delay(recent, MIN_DEPARTURES),
            "recent_late_share": _late_share(recent),
            "network_late_share": _late_share(recent_of_network),
            "network_delay_today": _mean_delay(network, MIN_DEPARTURES),
            "carrier_delay_today": _mean_delay(carrier, MIN_OF_CARRIER),
            "aircraft_delay": aircraft[-1] if aircraft else None,
        }

    def _delays(self, group: str, row: Row, moment: float, since: float = -1e9) -> list[float]:
        """Return the delays (minutes) of a group's departures after `since` and up to `moment`, in order of departure."""
        departures = self._departures[group, row.get(group, "")]
        begin, end = (bisect_right(departures, minute, key=lambda departure: departure[0]) for minute in (since, moment))
        return [delay for _, delay in departures[begin:end]]


def _evening_late_shares(flights: Iterable[Row]) -> dict[str, float]:
    """Return by airport the share of a day's departures scheduled from 19:00 on that left late."""
    delays: defaultdict[str, list[float]] = defaultdict(list)
    for row in flights:
        if row["dep_delay"] != "NA" and _minute(row["sched_dep_time"]) >= EVENING_MINUTE:
            delays[row["origin"]].append(float(row["dep_delay"]))
    return {origin: sum(delay >= LATE_MINUTES for delay in found) / len(found) for origin, found in delays.items()}


def _late_share(delays: list[float]) -> float | None:
    return sum(delay >= LATE_MINUTES for delay in delays) / len(delays) if len(delays) >= MIN_DEPARTURES else None


def _mean_delay(delays: list[float], least: int) -> float | None:
    """Return the mean delay (minutes) of at least so many departures."""
    return sum(min(max(delay, 0.0), MAX_DELAY_MINUTES) for delay in delays) / len(delays) if len(delays) >= least else None


def _minute(hhmm: str) -> int:
    return int(hhmm) // 100 * 60 + int(hhmm) % 100


def _clock(hhmm: str) -> str:
    return f"{int(hhmm) // 100:02d}:{int(hhmm) % 100:02d}"
