"""Made-up drops of one date with the demo's columns."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

DAY = date(2013, 2, 12)


def flights(rows: int) -> pa.Table:
    """Return made-up flights with the demo's columns: one in 1,000 breaks a rule, one in 2,000 has the key of another."""
    rng = np.random.default_rng(1)
    carriers = np.array([a + b for a in "9ABDEFHMOUVWY" for b in "AELNOQSVX6"])
    key = rng.permutation(rows)
    key[rng.integers(rows, size=rows // 2000)] = key[0]
    minute = key % 1440
    flight = key // 1440 % 9999 + 1
    carrier = carriers[key // (1440 * 9999) % len(carriers)]
    origin = np.array(["EWR", "JFK", "LGA"])[key % 3]
    delay = np.round(rng.gamma(1.2, 18, rows) - 12).astype(int)
    arrival = delay + rng.integers(-25, 25, rows)
    cancelled = rng.random(rows) < 0.02
    airtime = rng.integers(25, 400, rows)

    def text(values: Any) -> np.ndarray:
        return np.where(cancelled, "NA", values.astype(str))

    clock = minute // 60 * 100 + minute % 60
    landed = (minute + airtime) % 1440
    hour = np.char.add(np.char.zfill((minute // 60).astype(str), 2), ":00:00Z")
    distance = (airtime * 8).astype(str)
    distance[rng.integers(rows, size=rows // 1000)] = "far"
    return pa.table(
        {
            "year": np.full(rows, DAY.year), "month": np.full(rows, DAY.month), "day": np.full(rows, DAY.day),
            "dep_time": text(np.maximum(clock, 1)), "sched_dep_time": clock, "dep_delay": text(delay),
            "arr_time": text(np.maximum(landed // 60 * 100 + landed % 60, 1)),
            "sched_arr_time": landed // 60 * 100 + landed % 60, "arr_delay": text(arrival), "carrier": carrier,
            "flight": flight, "tailnum": np.char.add("N", (key % 4000).astype(str)), "origin": origin,
            "dest": carriers[key % 97 % len(carriers)], "air_time": text(airtime), "distance": distance,
            "hour": minute // 60, "minute": minute % 60, "time_hour": np.char.add(f"{DAY}T", hour),
        }
    )  # fmt: skip


def weather() -> pa.Table:
    """Return the weather of the date, by airport and hour."""
    places = [(origin, hour) for origin in ("EWR", "JFK", "LGA") for hour in range(24)]
    numbers = dict.fromkeys(("temp", "dewp", "humid", "wind_speed", "precip", "visib"), [9.5] * len(places))
    return pa.table(
        {
            "origin": [origin for origin, _ in places], "year": [DAY.year] * 72, "month": [DAY.month] * 72,
            "day": [DAY.day] * 72, "hour": [hour for _, hour in places], **numbers, "wind_dir": [90] * 72,
            "wind_gust": ["NA"] * 72, "pressure": [1013.5] * 72, "time_hour": [f"{DAY}T{hour:02}:00:00Z" for _, hour in places],
        }
    )  # fmt: skip


def planes() -> pa.Table:
    """Return the planes."""
    names = [f"N{number}" for number in range(4000)]
    texts = dict.fromkeys(("type", "manufacturer", "model", "engine"), ["made up"] * 4000)
    return pa.table(
        {"tailnum": names, "year": [1999] * 4000, **texts, "engines": [2] * 4000, "seats": [150] * 4000, "speed": ["NA"] * 4000}
    )
