"""The views of a row that families learn from, against plain code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from perennial.config.pipeline import Inputs
from perennial.models.scoring import to_arrays
from perennial.train.medians import Medians
from perennial.train.preprocess import amounts, fit_preprocessing
from perennial.train.views import Dense, Table, ViewGraph
from perennial.train.window import Window

MakeRows = Callable[..., pa.Table]
WindowOf = Callable[[pa.Table, Inputs], Window]


def test_a_table_has_the_amounts_as_they_are_and_the_place_of_each_class(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf
) -> None:
    rows = make_rows()
    view = Table(inputs, fit_preprocessing(window_of(rows, inputs)))
    found = ViewGraph(view).of(*to_arrays(rows, inputs)).columns
    assert found.shape == (480, view.width)
    names = [*amounts(inputs), *inputs.categories, *inputs.one_hot]
    table = dict(zip(names, found.T, strict=True))
    for name in ("load", "pressure", "machines__age"):
        expected = np.array([np.nan if value is None else value for value in rows[name].to_pylist()], np.float32)
        np.testing.assert_array_equal(table[name], expected)
    shifts = ["", "a", "b"]
    assert table["shift"].tolist() == [shifts.index(value or "") for value in rows["shift"].to_pylist()]
    assert np.isfinite(table["weekday"]).all()
    strange = make_rows(days=1, per_day=2, site=lambda n: pa.array(["moon"] * n))
    other = dict(zip(names, ViewGraph(view).of(*to_arrays(strange, inputs)).columns.T, strict=True))
    assert np.isnan(other["site"]).all()


def test_bins_rise_from_0_to_1_one_after_the_other(make_rows: MakeRows, window_of: WindowOf) -> None:
    inputs = Inputs.model_validate({"request": {"load": "number", "night": "boolean?"}})
    rows = make_rows()
    fitted = fit_preprocessing(window_of(rows, inputs), bins=4)
    load, night = fitted.edges
    assert len(load) == 5
    assert night == [], "two values need no bins"
    view = Dense(inputs, fitted)
    found = ViewGraph(view).of(*to_arrays(rows, inputs)).columns
    assert (view.amounts, view.width, found.shape[1]) == (6, 7, 7)
    values = np.asarray(rows["load"].to_numpy(), np.float32)[:, None]
    low, high = np.array(load[:-1], np.float32), np.array(load[1:], np.float32)
    expected = np.clip((values - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found[:, 2:6], expected, atol=1e-6)
    inside = ((values >= low) & (values < high)).mean(axis=0)
    assert (inside > 0.2).all(), inside


def test_edges_are_quantiles_within_a_hundredth_and_a_constant_has_none() -> None:
    rng = np.random.default_rng(1)
    values = np.stack([rng.normal(0, 10, 5000), np.full(5000, 3.0), rng.integers(0, 3, 5000), np.full(5000, np.nan)], axis=1)
    medians = Medians(4)
    for part in np.array_split(values.astype(np.float32), 3):
        medians.count(part)
    normal, constant, three, nulls = medians.edges(8)
    exact = np.quantile(values[:, 0], np.linspace(0, 1, 9))
    np.testing.assert_allclose(normal, exact, rtol=0.01, atol=0.15)
    assert (constant, three, nulls) == ([], [0.0, 1.0, 2.0], [])
