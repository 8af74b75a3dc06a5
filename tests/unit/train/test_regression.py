"""Each family learns numbers: better than the constant forecast, exactly as its library, and with the same bits twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from authors import TRAINED_ON_NUMBERS, train
from windows import store_minutes, store_window, with_minutes

from perennial.config.candidates import Linear, Mlp, XGBoost
from perennial.config.label import NumberLabel
from perennial.config.pipeline import Inputs
from perennial.models.scoring import score
from perennial.tasks.task import task_of
from perennial.train import linear, schedule, xgboost
from perennial.train import window as window_module
from perennial.train.blend import answerer, blend
from perennial.train.compare import MAX_DIFFERENCE, Rows, compare
from perennial.train.holdout import StoredHoldout
from perennial.train.model import Begin, Model, train_model
from perennial.train.prepare import Examples, why_untrainable
from perennial.train.target import warn_of_target
from perennial.train.window import Window

MakeRows = Callable[..., pa.Table]
FIRST = date(2024, 2, 26)
LEARNT = [(family, "mean") for family in TRAINED_ON_NUMBERS]
LEARNT += [(family, predict) for family in TRAINED_ON_NUMBERS[1:] for predict in ("median", "quantile 0.9")]


def check(model: Model, window: Window, inputs: Inputs) -> float:
    """Return the largest difference of graph and library on the rows of the window."""
    buckets = (Rows(bucket.numbers, bucket.texts, str) for bucket in window.read())
    return compare(model.onnx, model.answerer(), "one", buckets, window.target.spread)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("family", "predict"), LEARNT)
def test_each_family_beats_the_constant_and_answers_as_its_library(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, family: str, predict: str
) -> None:
    window = store_minutes(tmp_path, with_minutes(make_rows()), inputs, predict)
    model = train(family, window)
    assert train(family, window).onnx == model.onnx
    assert check(model, window, inputs) < MAX_DIFFERENCE / 5
    unseen = with_minutes(make_rows(seed=9))
    metrics = task_of(window.target.label).metrics(
        unseen["minutes"].to_numpy(), score(model.onnx, unseen, inputs), window.target.constant
    )
    assert metrics["skill"] is not None
    assert metrics["skill"] > 0.3
    if predict == "quantile 0.9":
        assert 0.75 < float(metrics["coverage"] or 0) < 0.99


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", TRAINED_ON_NUMBERS)
@pytest.mark.parametrize(("center", "spread"), [(0.0, 1e-6), (1e6, 50.0), (-3e7, 1e7)], ids=str)
def test_labels_of_any_unit_are_learnt_and_exported_exactly(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, family: str, center: float, spread: float
) -> None:
    window = store_minutes(tmp_path, with_minutes(make_rows(), center, spread), inputs, "mean")
    model = train(family, window)
    check(model, window, inputs)
    unseen = with_minutes(make_rows(seed=9), center, spread)
    metrics = task_of(window.target.label).metrics(
        unseen["minutes"].to_numpy(), score(model.onnx, unseen, inputs), window.target.constant
    )
    assert float(metrics["skill"] or 0) > 0.5


def test_the_target_is_exact_in_any_number_of_buckets(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = with_minutes(make_rows())
    y = table["minutes"].to_numpy()
    for predict, constant in (("mean", y.mean()), ("median", np.median(y)), ("quantile 0.25", np.quantile(y, 0.25))):
        whole = store_minutes(tmp_path, table, inputs, predict).target
        with monkeypatch.context() as patched:
            patched.setattr(window_module, "BUCKET_ROWS", 64)
            window = store_minutes(tmp_path, table, inputs, predict)
        assert window.buckets > 4
        assert (whole.constant, whole.spread) == (pytest.approx(constant), pytest.approx(y.std()))
        assert window.target == replace(
            whole, constant=pytest.approx(whole.constant), center=pytest.approx(whole.center), spread=pytest.approx(whole.spread)
        )


def test_linear_is_scikit_learns_ridge_in_any_number_of_buckets(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import Ridge
    from windows import prepare

    table = with_minutes(make_rows())
    monkeypatch.setattr(window_module, "BUCKET_ROWS", 64)
    _, matrix = prepare(store_minutes(tmp_path, table, inputs, "mean"))
    parts = list(matrix.read())
    x, y = np.concatenate([part.rows.columns for part in parts]), np.concatenate([part.y for part in parts])
    found = linear.fit(matrix, Linear(alpha=3.0), 0).layers[0]
    expected = Ridge(alpha=3.0).fit(x.astype(float), y.astype(float))
    np.testing.assert_allclose(found.kernel[:, 0], expected.coef_, atol=1e-5)
    assert found.bias[0] == pytest.approx(expected.intercept_, abs=1e-5)


def test_wide_categories_have_the_same_weights_as_columns(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = with_minutes(make_rows())
    columns = train_model(Linear(alpha=3.0), store_minutes(tmp_path, table, inputs, "mean"), seed=1)
    monkeypatch.setattr("perennial.train.classes.MAX_COLUMNS", 0)
    codes = train_model(Linear(alpha=3.0), store_minutes(tmp_path, table, inputs, "mean"), seed=1)
    assert codes.view.fitted.codes
    np.testing.assert_allclose(score(codes.onnx, table, inputs), score(columns.onnx, table, inputs), rtol=1e-5)


@pytest.mark.tensorflow
def test_predictions_keep_to_the_range_and_a_blend_is_the_mean(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    table = with_minutes(make_rows())
    y = table["minutes"].to_numpy()
    least, most = float(np.floor(y.min())), float(np.ceil(y.max()))
    window = store_minutes(tmp_path, table, inputs, "mean", range=[least, most])
    models = [train(family, window).onnx for family in TRAINED_ON_NUMBERS]
    label = window.target.label
    whole = blend(models, inputs.numbers, inputs.texts, label)
    far = table.set_column(table.schema.get_field_index("load"), "load", pa.array(np.full(table.num_rows, 1e6)))
    assert score(models[0], far, inputs).max() == most
    found = score(whole, table, inputs)
    np.testing.assert_allclose(found, np.mean([score(model, table, inputs) for model in models], axis=0), atol=0.05)
    (bucket,) = window.read()
    np.testing.assert_allclose(answerer(models, label)(bucket.numbers, bucket.texts).mean(), found.mean(), rtol=1e-6)


def test_a_window_of_one_value_trains_nothing(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    table = make_rows().append_column("minutes", pa.array(np.full(480, 7.0)))
    window = store_minutes(tmp_path, table, inputs, "median")
    reason = why_untrainable(Examples(window, StoredHoldout(None, 1, window.target.label), 0, 0))
    assert reason is not None
    assert "480 rows, all of them with the label 7. A model needs different labels" in reason
    assert not math.isnan(window.target.constant)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("family", "efforts"), [("mlp", schedule._EFFORTS), ("keras", schedule._EFFORTS[:1])])
def test_a_network_takes_more_steps_where_labels_are_nearly_certain(
    inputs: Inputs,
    make_rows: MakeRows,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    efforts: tuple[tuple[int, float], ...],
) -> None:
    monkeypatch.setattr(schedule, "_EFFORTS", efforts)
    caplog.set_level("INFO", "perennial.train.schedule")
    table = make_rows(days=8)
    rng = np.random.default_rng(4)
    certain = pa.array(table["load"].to_numpy() ** 2 / 50)
    for y, least in ((certain, efforts[-1][0]), (pa.array(rng.normal(0, 1, table.num_rows)), 300)):
        window = store_window(
            tmp_path,
            table.append_column("minutes", y),
            inputs,
            NumberLabel(column="minutes", predict="mean"),
            late=FIRST + timedelta(days=6),
        )
        train(family, window, learning_rate=0.001)
        assert [text for text in caplog.messages if text.startswith("Network")][-1] == f"Network: at least {least} batches"


def test_classes_are_in_the_order_of_their_mean_labels(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = {"north": 5.0, "south": -2.0, "west": 1.0}
    table = make_rows(days=1)
    y = np.array([level[site] for site in table["site"].to_pylist()]) + np.arange(120) / 1000
    monkeypatch.setattr(window_module, "BUCKET_ROWS", 16)
    window = store_minutes(tmp_path, table.append_column("minutes", pa.array(y)), inputs, "median")
    means = window.mean_labels()["site"]
    for site in level:
        assert means[site] == pytest.approx(y[np.array(table["site"].to_pylist()) == site].mean())
    assert xgboost.prepare(window, XGBoost()).fitted.text_classes["site"].own == ["north", "south", "west"]  # split by sets
    monkeypatch.setattr(xgboost, "MAX_SET_OF_NUMBERS", 2)
    assert xgboost.prepare(window, XGBoost()).fitted.text_classes["site"].own == ["south", "west", "north"]


@pytest.mark.tensorflow
def test_a_warm_start_moves_to_the_scale_of_the_window(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    table = with_minutes(make_rows())
    first = store_minutes(tmp_path, table, inputs, "mean")
    before = train("mlp", first)
    assert before.weights is not None
    outlier = table["minutes"].to_numpy().copy()
    outlier[0] = 3000.0
    moved = table.set_column(table.schema.get_field_index("minutes"), "minutes", pa.array(outlier))
    window = store_minutes(tmp_path, moved, inputs, "mean")
    assert window.target.spread > 5 * first.target.spread
    begin = Begin("mlp-before", before.columns, before.weights, first.target.center, first.target.spread)
    warm = train_model(Mlp(), window, 7, begin=begin)
    unseen = with_minutes(make_rows(seed=9))
    found, known = (score(model.onnx, unseen, inputs) for model in (warm, before))
    np.testing.assert_allclose(found, known, atol=3 * first.target.spread / 10)
    same = begin.scaled(first.target)
    assert same == before.weights


def test_a_window_of_equal_fractions_trains_nothing(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    table = make_rows().append_column("minutes", pa.array(np.full(480, 0.1)))
    assert store_minutes(tmp_path, table, inputs, "mean").target.spread == 0


def test_labels_that_are_large_against_their_spread_are_named(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    window = store_minutes(tmp_path, with_minutes(make_rows(), 1.7e9, 10.0), inputs, "mean")
    (warning,) = warn_of_target(window.target)
    assert "label minutes: its values are about 1.7e+09" in warning
    assert warn_of_target(store_minutes(tmp_path, with_minutes(make_rows()), inputs, "mean").target) == []
