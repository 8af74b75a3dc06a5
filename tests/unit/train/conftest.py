"""A small data set of every kind of input, as rows of a features table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from windows import store_window

from perennial.config.pipeline import Inputs
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.train.window import Window

FIRST = date(2024, 2, 26)


@pytest.fixture
def inputs() -> Inputs:
    return Inputs.model_validate(
        {
            "request": {
                "date": "date",
                "started": "time",
                "ended": "time?",
                "load": "number",
                "pressure": "number?",
                "night": "boolean?",
                "site": "category",
                "shift": "category?",
                "machine": "category",
            },
            "identifiers": ["machine"],
            "derived": {
                "start_hour": "hour_of_day(started)",
                "weekday": "weekday(date)",
                "minutes": "minutes_between(started, ended)",
                "per_age": "ratio(load, machines__age)",
                "holiday": "days_to_nearest(date, 2024-02-29, 2024-03-04)",
            },
            "categories": ["start_hour", "weekday"],
            "lookups": {"machines": {"key": ["machine"], "values": ["age"]}},
        }
    )


@pytest.fixture
def make_rows() -> Callable[..., pa.Table]:
    """Return a function that makes rows of a features table, in a random order, with a signal and nulls."""

    def make(days: int = 4, per_day: int = 120, seed: int = 5, **replaced: Any) -> pa.Table:
        rng = np.random.default_rng(seed)
        n = days * per_day

        def some(values: Any, share: float = 0.1) -> list[Any]:
            return [None if null else value for value, null in zip(list(values), rng.random(n) < share, strict=True)]

        load = rng.normal(50, 10, n)
        site = rng.choice(["north", "south", "west"], n)
        failed = rng.random(n) < 1 / (1 + np.exp(-(load - 55) / 5 - (site == "west")))
        columns: dict[str, Any] = {
            "date": pa.array([FIRST + timedelta(days=i // per_day) for i in range(n)], pa.date32()),
            "slot": pa.array([i % per_day for i in range(n)], pa.int64()),
            "started": pa.array(rng.integers(0, 1440, n).tolist(), pa.int32()),
            "ended": pa.array(some(rng.integers(0, 1440, n).tolist()), pa.int32()),
            "load": pa.array(load, pa.float64()),
            "pressure": pa.array(some(rng.normal(3, 1, n).tolist()), pa.float64()),
            "night": pa.array(some((rng.random(n) < 0.5).tolist()), pa.bool_()),
            "site": pa.array(site.tolist(), pa.string()),
            "shift": pa.array(some(rng.choice(["a", "b"], n).tolist()), pa.string()),
            "machine": pa.array([f"m{i % 7}" for i in range(n)], pa.string()),
            "machines__age": pa.array(some(rng.integers(0, 9, n).astype(float).tolist()), pa.float64()),
            "failed": pa.array(failed.tolist(), pa.bool_()),
            SAMPLE: pa.array(np.random.default_rng([seed, 1]).integers(0, 2**SAMPLE_BITS, n), pa.int32()),
        }
        columns.update({name: make_column(n) if callable(make_column) else make_column for name, make_column in replaced.items()})
        table = pa.table(columns)
        return table.take(pa.array(rng.permutation(n)))

    return make


@pytest.fixture
def window_of(tmp_path: Path) -> Callable[[pa.Table, Inputs], Window]:
    """Return a function that stores rows as a window on disk."""
    return lambda table, inputs: store_window(tmp_path, table, inputs)
