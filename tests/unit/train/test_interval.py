"""Intervals of numbers: calibrated on a holdout, exact in the graph, and the same for all candidates of a date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
from authors import train
from windows import store_minutes, with_minutes

from perennial.config.answers import INTERVAL
from perennial.config.label import NumberLabel
from perennial.config.pipeline import Inputs
from perennial.models.scoring import Graph, score, to_arrays
from perennial.train.blend import blend
from perennial.train.calibration import QUANTILES, calibrate, interval_metrics, set_shift
from perennial.train.candidates import code_for, versions_for
from perennial.train.compare import MAX_DIFFERENCE, Rows, compare
from perennial.train.graph import with_output
from perennial.train.window import Window

MakeRows = Callable[..., pa.Table]


def window_of(folder: Path, table: pa.Table, inputs: Inputs, **changes: object) -> Window:
    return store_minutes(folder, table, inputs, "median", interval=0.8, **changes)


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", ["xgboost", "mlp"])
def test_the_graph_answers_with_the_quantiles_of_the_library_around_the_value(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, family: str
) -> None:
    table = with_minutes(make_rows(days=8))
    window = window_of(tmp_path, table, inputs)
    model = train(family, window)
    assert train(family, window).onnx == model.onnx
    assert model.quantiles is not None
    buckets = (Rows(bucket.numbers, bucket.texts, str) for bucket in window.read())
    asked = with_output(model.onnx, QUANTILES)
    assert compare(asked, model.quantiles.answer, family, buckets, window.target.spread, QUANTILES) < MAX_DIFFERENCE / 5
    moved = set_shift(model.onnx, 2.5)
    values, quantiles = score(moved, table, inputs), score(asked, table, inputs, QUANTILES)
    expected = np.minimum(quantiles[:, 0] - 2.5, values), np.maximum(quantiles[:, 1] + 2.5, values)
    np.testing.assert_allclose(score(moved, table, inputs, INTERVAL), np.stack(expected, axis=1), rtol=1e-6)
    answers = Graph(moved).answer(*to_arrays(table, inputs))
    assert answers.shape == (len(values), 3)
    assert (answers[:, 1] <= answers[:, 0]).all()


def test_a_blend_has_the_quantiles_of_its_parts_around_its_own_value(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    table = with_minutes(make_rows(days=8))
    y = table["minutes"].to_numpy()
    least, most = float(np.floor(y.min())), float(np.ceil(y.max()))
    window = window_of(tmp_path, table, inputs, range=[least, most])
    parts = [set_shift(train(family, window).onnx, 1.0) for family in ("xgboost", "lightgbm")]
    whole = blend(parts, inputs.numbers, inputs.texts, window.target.label)
    found = [score(with_output(model, QUANTILES), table, inputs, QUANTILES) for model in (*parts, whole)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    bounds = score(set_shift(whole, 1000.0), table, inputs, INTERVAL)
    assert (bounds == [least, most]).all()
    assert [item.name for item in onnxruntime.InferenceSession(whole).get_outputs()] == ["value", "interval"]


def rows(seed: int, days: int, of_day: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, dates, and quantiles that are too narrow."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 10, days * of_day)
    return level + rng.normal(0, 5, len(level)), np.repeat(np.arange(days), of_day), np.stack([level - 3, level + 3], axis=1)


def test_calibrated_intervals_hold_the_share_of_new_labels() -> None:
    held = []
    for seed in range(20):
        y, days, quantiles = rows(seed, 7)
        found = calibrate(y, days, quantiles, 0.8)
        unseen, _, theirs = rows(100 + seed, 7)
        held.append(((theirs[:, 0] - found.shift <= unseen) & (unseen <= theirs[:, 1] + found.shift)).mean())
        coverage = interval_metrics(y, found.bounds(quantiles.mean(axis=1), 0, None))["interval_coverage"]
        assert coverage is not None
        assert abs(coverage - 0.8) < 0.03
    assert np.mean(held) == pytest.approx(0.8, abs=0.01)


def test_a_date_is_judged_without_its_own_labels() -> None:
    y, days, quantiles = rows(1, 5)
    y[days == 2] += 100
    found = calibrate(y, days, quantiles, 0.8)
    of_day = days == 2
    low, high = found.bounds(quantiles.mean(axis=1), 0, None)[of_day].T
    assert ((low <= y[of_day]) & (y[of_day] <= high)).mean() < 0.1
    alone = calibrate(y[~of_day], days[~of_day], quantiles[~of_day], 0.8)
    assert high[0] - quantiles[of_day][0, 1] == pytest.approx(alone.shift)
    single = calibrate(y[of_day], days[of_day], quantiles[of_day], 0.8)
    bounds = single.bounds(quantiles[of_day].mean(axis=1), 0, None)
    assert interval_metrics(y[of_day], bounds)["interval_coverage"] == pytest.approx(0.8, abs=0.02)


def test_bounds_of_a_holdout_are_those_that_the_graph_answers(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    """A single date is moved by its own labels, as new rows are."""
    table = with_minutes(make_rows(days=8))
    y = table["minutes"].to_numpy()
    label_range = [float(np.floor(y.min())), float(np.ceil(y.max()))]
    graph = train("xgboost", window_of(tmp_path, table, inputs, range=label_range)).onnx
    quantiles = score(with_output(graph, QUANTILES), table, inputs, QUANTILES)
    for moved_labels, level in ((y, 0.2), (y + 30, 0.9)):
        found = calibrate(moved_labels, np.zeros(len(y)), quantiles, level)
        served = set_shift(graph, found.shift)
        p, expected = score(served, table, inputs), score(served, table, inputs, INTERVAL)
        assert ((expected == p[:, None]) | np.isin(expected, label_range)).any()
        halves = [found.bounds(p[:100], 0, label_range), found.bounds(p[100:], 100, label_range)]
        np.testing.assert_array_equal(np.concatenate(halves), expected)


def test_wide_quantiles_are_drawn_in() -> None:
    y, days, quantiles = rows(3, 5)
    found = calibrate(y, days, quantiles + np.array([-50.0, 50.0]), 0.8)
    assert found.shift == pytest.approx(calibrate(y, days, quantiles, 0.8).shift - 50)


def test_only_a_label_with_an_interval_adds_to_the_fingerprint() -> None:
    plain, with_interval = (NumberLabel(column="minutes", predict="median", interval=level) for level in (None, 0.9))
    assert code_for("mlp", plain) != code_for("mlp", with_interval)
    assert "xgboost-cpu" in versions_for("mlp", with_interval)
    assert "xgboost-cpu" not in versions_for("mlp", plain)
    assert code_for("blend", plain) == code_for("blend", with_interval)
