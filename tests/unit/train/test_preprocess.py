"""Preprocessing against a plain reference, and data that carry little or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import to_arrays
from perennial.train.preprocess import amounts, fit_preprocessing, warn_of_empty
from perennial.train.views import Dense, ViewGraph
from perennial.train.window import Window

Rows = Callable[..., pa.Table]


@pytest.fixture
def matrix(window_of: Callable[[pa.Table, Inputs], Window]) -> Callable[..., Any]:
    """Return a function that fits on rows, and returns the matrix of these or other rows."""

    def matrix(inputs: Inputs, fit: pa.Table, rows: pa.Table | None = None) -> Any:
        view = Dense(inputs, fit_preprocessing(window_of(fit, inputs)))
        return ViewGraph(view).of(*to_arrays(fit if rows is None else rows, inputs)).columns

    return matrix


def test_agrees_with_plain_code(inputs: Inputs, make_rows: Rows, matrix: Callable[..., Any]) -> None:
    table = make_rows()
    rows = table.to_pylist()
    nan = float("nan")

    def number(row: dict[str, Any], name: str) -> float:
        return nan if row[name] is None else float(row[name])

    def minutes(row: dict[str, Any]) -> float:
        return nan if row["ended"] is None else float((row["ended"] - row["started"]) % 1440)

    def per_age(row: dict[str, Any]) -> float:
        return row["load"] / row["machines__age"] if row["machines__age"] else nan

    def holiday(row: dict[str, Any]) -> float:
        return float(min(abs(row["date"].toordinal() - day) for day in (738945, 738949)))

    direct = [lambda row, name=name: number(row, name) for name in ("load", "night", "pressure", "machines__age")]
    raw = np.array([[f(row) for f in [*direct, holiday, minutes, per_age]] for row in rows])
    assert amounts(inputs) == ["load", "night", "pressure", "machines__age", "holiday", "minutes", "per_age"]
    missing = np.isnan(raw)
    filled = np.where(missing, np.nanmedian(raw, axis=0), raw)
    scaled = np.clip((filled - filled.mean(axis=0)) / filled.std(axis=0), -5, 5)
    hours = [[row["started"] // 60 == hour for hour in range(24)] for row in rows]
    weekdays = [[row["date"].weekday() == day for day in range(4)] for row in rows]
    sites = [[row["site"] == name for name in ("north", "south", "west")] for row in rows]
    shifts = [[(row["shift"] or "") == name for name in ("", "a", "b")] for row in rows]
    expected = np.hstack([scaled, missing[:, missing.any(axis=0)], hours, weekdays, shifts, sites])
    np.testing.assert_allclose(matrix(inputs, table), expected, atol=2e-5)


def test_unseen_classes_are_all_zeros(inputs: Inputs, make_rows: Rows, matrix: Callable[..., Any]) -> None:
    table = make_rows()
    width = matrix(inputs, table).shape[1]
    unseen = make_rows(site=lambda n: pa.array(["moon"] * n), shift=lambda n: pa.array(["z"] * n))
    found = matrix(inputs, table, unseen)
    assert found.shape == (table.num_rows, width)
    assert not found[:, -6:].any()


def test_constant_and_empty_columns_carry_nothing_and_break_nothing(
    inputs: Inputs, make_rows: Rows, matrix: Callable[..., Any]
) -> None:
    table = make_rows(
        load=lambda n: pa.array([1e9] * n, pa.float64()),
        pressure=lambda n: pa.array([None] * n, pa.float64()),
        machines__age=lambda n: pa.array([None] * n, pa.float64()),
    )
    found = matrix(inputs, table)
    assert np.isfinite(found).all()
    assert not found[:, [0, 2, 3]].any()


def test_nulls_first_seen_after_training_become_the_median(inputs: Inputs, make_rows: Rows, matrix: Callable[..., Any]) -> None:
    fit = make_rows(pressure=lambda n: pa.array(np.arange(n, dtype=float)))
    later = make_rows(pressure=lambda n: pa.array([None] * n, pa.float64()))
    assert np.isfinite(matrix(inputs, fit, later)).all()


def test_infinite_values_are_refused_by_name(inputs: Inputs, make_rows: Rows, matrix: Callable[..., Any]) -> None:
    with pytest.raises(RefusedError, match="load: 480 rows"):
        matrix(inputs, make_rows(load=lambda n: pa.array([1e300] * n)))


def test_a_model_without_inputs_is_refused(make_rows: Rows, matrix: Callable[..., Any]) -> None:
    nothing = Inputs.model_validate({"request": {"machine": "category"}, "identifiers": ["machine"]})
    with pytest.raises(RefusedError, match="has no inputs"):
        matrix(nothing, make_rows())


def test_texts_or_numbers_alone_are_enough(make_rows: Rows, matrix: Callable[..., Any]) -> None:
    table = make_rows()
    assert matrix(Inputs.model_validate({"request": {"site": "category"}}), table).shape == (480, 3)
    assert matrix(Inputs.model_validate({"request": {"load": "number"}}), table).shape == (480, 1)


def test_inputs_without_a_value_in_the_window_are_named(
    inputs: Inputs, make_rows: Rows, window_of: Callable[[pa.Table, Inputs], Window]
) -> None:
    assert warn_of_empty(window_of(make_rows(), inputs)) == []
    empty = {
        "pressure": lambda n: pa.nulls(n, pa.float64()),
        "shift": lambda n: pa.nulls(n, pa.string()),
        "machines__age": lambda n: pa.nulls(n, pa.float64()),
    }
    warnings = warn_of_empty(window_of(make_rows(**empty), inputs))
    assert [text.partition(":")[0] for text in warnings] == ["pressure", "machines__age", "shift"]
    assert warnings[0].startswith(
        "pressure: it is null in all rows of the training window, so the model learns nothing from it. "
    )
