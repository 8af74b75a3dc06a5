"""Every derived function in the graph against plain Python; nulls go through."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perennial.config.derived import FUNCTIONS, parse_derived
from perennial.models.scoring import Graph
from perennial.train.derived_nodes import add_derived
from perennial.train.graph import GraphBuilder

EPOCH = date(1970, 1, 1)
HOLIDAYS = "2013-01-01, 2013-07-04, 2013-12-25"
TEXTS = {
    "minute_of_day": "minute_of_day(a)",
    "hour_of_day": "hour_of_day(a)",
    "weekday": "weekday(a)",
    "minutes_between": "minutes_between(a, b)",
    "difference": "difference(a, b)",
    "ratio": "ratio(a, b)",
    "is_missing": "is_missing(a)",
    "days_to_nearest": f"days_to_nearest(a, {HOLIDAYS})",
}
TIMES = st.integers(0, 1439)
DAYS = st.dates(date(1900, 1, 1), date(2199, 12, 31)).map(lambda day: (day - EPOCH).days)
PLAIN = st.floats(-1e6, 1e6, width=32)


def compute(function: str, a: float, b: float = 0.0) -> float:
    graph = GraphBuilder(["a", "b"], [])
    output = graph.op("Identity", add_derived(graph, parse_derived(TEXTS[function])), output="out")
    numbers = np.array([[a, b]], dtype=np.float32)
    return float(Graph(graph.model(output, ["rows", 1]), output).run(numbers, np.empty((1, 0), dtype=object))[0, 0])


def test_every_function_is_tested_here() -> None:
    assert set(TEXTS) == set(FUNCTIONS)


@settings(max_examples=40)
@given(TIMES, TIMES)
@example(1439, 0)
@example(600, 600)
def test_times(a: int, b: int) -> None:
    assert compute("minute_of_day", a) == a
    assert compute("hour_of_day", a) == a // 60
    assert compute("minutes_between", a, b) == (b - a) % 1440


@settings(max_examples=40)
@given(DAYS)
@example(0)
@example(-1)
def test_dates(days: int) -> None:
    day = EPOCH + timedelta(days=days)
    assert compute("weekday", days) == day.weekday()
    holidays = [date.fromisoformat(text) for text in HOLIDAYS.split(", ")]
    assert compute("days_to_nearest", days) == min(abs((day - holiday).days) for holiday in holidays)


@settings(max_examples=40)
@given(PLAIN, PLAIN)
@example(1.0, 0.0)
@example(0.0, 0.0)
@example(1.0, -0.0)
def test_amounts(a: float, b: float) -> None:
    assert compute("difference", a, b) == np.float32(a) - np.float32(b)
    with np.errstate(over="ignore"):
        expected = np.float32(a) / np.float32(b) if b else np.float32("nan")
    assert compute("ratio", a, b) == pytest.approx(float(expected), rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("function", sorted(set(TEXTS) - {"is_missing"}))
def test_null_stays_null(function: str) -> None:
    assert math.isnan(compute(function, math.nan, 1.0))
    if FUNCTIONS[function][0] == 2:
        assert math.isnan(compute(function, 1.0, math.nan))


def test_is_missing_tells_null_from_zero() -> None:
    assert compute("is_missing", math.nan) == 1
    assert compute("is_missing", 0.0) == 0
