"""Categories with more classes than a model can learn: identifiers, minutes, and many wide fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from authors import train
from windows import prepare

from perennial.config.candidates import Logistic, Mlp
from perennial.config.pipeline import Inputs
from perennial.models.scoring import score, to_arrays
from perennial.train import logistic, mlp
from perennial.train.classes import MAX_COLUMNS, choose_classes, choose_codes
from perennial.train.layers import Layer
from perennial.train.matrix import Matrix
from perennial.train.model import export, train_model
from perennial.train.preprocess import fit_preprocessing
from perennial.train.views import Dense, ViewGraph
from perennial.train.window import Window

MakeRows = Callable[..., pa.Table]
WindowOf = Callable[[pa.Table, Inputs], Window]


def identifiers(n: int) -> pa.Array:
    """Return texts of which half occur once, and the others ever more often."""
    return pa.array([f"id{i}" if i % 2 else f"often{int(np.sqrt(i))}" for i in range(n)])


def fitting(request: dict[str, str], **more: Any) -> Inputs:
    return Inputs.model_validate({"request": {"load": "number", **request}, **more})


def dense(matrix: Matrix) -> Any:
    """Return the matrix with its one-hot columns."""
    parts = [matrix.columns]
    parts += [np.eye(size + 1, dtype=np.float32)[code][:, :-1] for code, size in zip(matrix.codes.T, matrix.sizes, strict=True)]
    return np.hstack(parts)


def test_the_most_frequent_values_have_a_class_and_ties_go_by_text() -> None:
    counts = {"b": 2, "d": 1, "a": 1, "c": 5, "e": 1}
    assert choose_classes(counts, 3) == choose_classes(dict(reversed(counts.items())), 3)
    chosen = choose_classes(counts, 3)
    assert (chosen.own, chosen.rare, chosen.size) == (["b", "c"], ["a", "d", "e"], 3)
    every = choose_classes(counts, 5)
    assert (every.own, every.rare, every.size) == (["a", "b", "c", "d", "e"], [], 5)
    assert choose_classes({2.5: 1, -1.0: 3, 0.0: 1}, 2).rare == [0.0, 2.5]


def test_narrow_categories_are_columns_and_the_widest_beyond_them_codes() -> None:
    assert choose_codes({"a": MAX_COLUMNS, "b": 1}, []) == {"a"}
    assert choose_codes({"a": MAX_COLUMNS - 1, "b": 1}, []) == set()
    assert choose_codes({"a": 3, "b": 2}, ["b"]) == {"b"}
    many = {f"f{index:03}": 10 for index in range(100)}
    assert choose_codes(many, []) == {f"f{index:03}" for index in range(MAX_COLUMNS // 10, 100)}


@pytest.mark.parametrize("max_classes", [2, 40, 1000])
def test_codes_are_the_one_hot_columns_of_the_same_classes(
    make_rows: MakeRows, max_classes: int, monkeypatch, window_of: WindowOf
) -> None:
    table = make_rows(site=identifiers)
    inputs = fitting({"site": "category"}, max_classes=max_classes)
    monkeypatch.setattr("perennial.train.classes.MAX_COLUMNS", 0)
    view = Dense(inputs, fit_preprocessing(window_of(table, inputs)))
    matrix = ViewGraph(view).of(*to_arrays(table, inputs))
    values = table["site"].to_pylist()
    by_count = sorted(set(values), key=lambda value: (-values.count(value), value))
    own = by_count if len(by_count) <= max_classes else by_count[: max_classes - 1]
    expected = [[value == name for name in sorted(own)] for value in values]
    if len(by_count) > max_classes:
        expected = [[*row, not any(row)] for row in expected]
    np.testing.assert_array_equal(dense(matrix)[:, 1:], np.array(expected, dtype=np.float32))
    assert matrix.columns.shape[1] + sum(matrix.sizes) == 1 + len(expected[0]) <= 1 + max_classes


def test_a_rare_value_and_a_value_never_seen_are_not_the_same(make_rows: MakeRows, window_of: WindowOf) -> None:
    inputs = fitting({"site": "category"}, max_classes=5)
    table = make_rows(site=identifiers)
    model = train_model(Logistic(), window_of(table, inputs), seed=1)
    same = {"load": lambda n: pa.array([50.0] * n)}

    def answer(value: str) -> float:
        return float(score(model.onnx, make_rows(days=1, per_day=1, site=lambda n: pa.array([value] * n), **same), inputs)[0])

    rare, unseen, often = answer("id1"), answer("moon"), answer("often20")
    assert answer("id3") == rare
    assert len({rare, unseen, often}) == 3


@pytest.mark.parametrize("with_columns", [True, False], ids=["beside numbers", "alone"])
@pytest.mark.parametrize("max_classes", [30, 1000], ids=["rare values", "no rare values"])
def test_logistic_graph_of_codes_agrees_with_scikit_learn(
    make_rows: MakeRows, max_classes: int, with_columns: bool, monkeypatch, window_of: WindowOf
) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr("perennial.train.classes.MAX_COLUMNS", 0)
    rows = make_rows(site=identifiers)
    request = {"load": "number", "shift": "category?", "site": "category"} if with_columns else {"site": "category"}
    inputs = Inputs.model_validate({"request": request, "max_classes": max_classes})
    view, matrix = prepare(window_of(rows, inputs))
    assert len(matrix.sizes) == len(inputs.texts)
    columns, y = dense(ViewGraph(view).of(*to_arrays(rows, inputs))).astype(float), rows["failed"].to_numpy()
    expected = LogisticRegression(C=0.03, max_iter=2000, tol=1e-8).fit(columns, y).predict_proba(columns)[:, 1]
    found = score(export(view, logistic.fit(matrix, Logistic(), 0), matrix.window.target), rows, inputs)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.tensorflow
def test_mlp_graph_of_codes_agrees_with_keras_on_one_hot_columns(make_rows: MakeRows, window_of: WindowOf) -> None:
    rows = make_rows(site=identifiers, started=lambda n: pa.array([i % 1440 for i in range(n)], pa.int32()))
    request = {"site": "category", "shift": "category?", "started": "time?"}
    minutes = {"derived": {"minute": "minute_of_day(started)"}, "categories": ["minute"]}
    inputs = fitting(request, max_classes=50, **minutes)
    view, matrix = prepare(window_of(rows, inputs))
    assert matrix.sizes == (50, 50)
    fitted = mlp.fit(matrix, Mlp(), 3)
    layers = fitted.layers
    width = matrix.columns + sum(matrix.sizes)
    assert layers[0].kernel.shape[0] == width
    network = mlp.build(width, (), Mlp(), 5, 1e-3)
    network.set_weights([array for layer in layers for array in (layer.kernel, layer.bias)])
    rows = make_rows(
        seed=9,
        site=lambda n: pa.array([("id1", "often20", "moon")[i % 3] for i in range(n)]),
        started=lambda n: pa.array([(None, 3, 1000)[i % 3] for i in range(n)], pa.int32()),
    )
    expected = network.predict(dense(ViewGraph(view).of(*to_arrays(rows, inputs))), verbose=0)[:, 0]
    found = score(export(view, fitted, matrix.window.target), rows, inputs)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.std() > 0.001


@pytest.mark.tensorflow
def test_mlp_learns_from_codes_alone(make_rows: MakeRows, window_of: WindowOf) -> None:
    """oneDNN ended the process at a product without columns."""
    inputs = Inputs.model_validate({"request": {"site": "category"}, "max_classes": 2})
    rows = make_rows()
    p = score(train_model(Mlp(), window_of(rows, inputs), seed=1).onnx, rows, inputs)
    assert p.std() > 0.001


@pytest.mark.tensorflow
def test_mlp_learns_from_codes_what_it_learns_from_one_hot_columns(make_rows: MakeRows, monkeypatch, window_of: WindowOf) -> None:
    inputs = fitting({"site": "category", "shift": "category?"})
    window = window_of(make_rows(), inputs)

    def fit() -> list[Layer]:
        return mlp.fit(prepare(window)[1], Mlp(), seed=3).layers

    columns = fit()
    monkeypatch.setattr("perennial.train.classes.MAX_COLUMNS", 0)
    codes = fit()
    for a, b in zip(columns, codes, strict=True):
        np.testing.assert_allclose(a.kernel, b.kernel, atol=1e-4)
    fresh = mlp.build(columns[0].kernel.shape[0], (), Mlp(), 5, 1e-3)
    assert np.abs(columns[0].kernel - fresh.layers[0].get_weights()[0]).max() > 0.01


@pytest.mark.tensorflow
@pytest.mark.parametrize("candidate", ["mlp", "logistic", "sklearn", "keras", "file"])
def test_an_identifier_as_category_is_trained_twice_with_the_same_bits_and_a_warning(
    make_rows: MakeRows, caplog: pytest.LogCaptureFixture, candidate: str, window_of: WindowOf
) -> None:
    inputs = fitting({"site": "category"}, max_classes=100)
    table = make_rows(site=identifiers)
    with caplog.at_level(logging.WARNING, logger="perennial.train"):
        model = train(candidate, window_of(table, inputs), seed=7)
    values = len(set(table["site"].to_pylist()))
    warning = (
        f"site: {values} classes, more than inputs.max_classes 100. The 99 most frequent have a class each, "
        f"the other {values - 99} share one. If its values name single things rather than kinds, "
        "list it in inputs.identifiers: the model then sees only what lookups know of it"
    )
    assert model.warnings == [warning]
    assert warning in caplog.messages
    assert len(model.view.names) == len(set(model.view.names)) == model.view.width + len(model.view.fitted.codes)
    again = train(candidate, window_of(table.take(list(range(479, -1, -1))), inputs), seed=7)
    assert (again.onnx, again.weights, again.warnings) == (model.onnx, model.weights, model.warnings)
    metadata = {item.key: json.loads(item.value) for item in onnx.load_from_string(model.onnx).metadata_props}
    assert set(metadata["categories"]["site"]) == set(table["site"].to_pylist())


def test_a_quantity_as_category_is_named_with_its_own_remedy(make_rows: MakeRows, window_of: WindowOf) -> None:
    minutes = {"derived": {"minute": "minute_of_day(started)"}, "categories": ["minute"]}
    inputs = fitting({"started": "time"}, max_classes=10, **minutes)
    model = train_model(Logistic(), window_of(make_rows(), inputs), seed=1)
    assert len(model.warnings) == 1
    assert model.warnings[0].startswith("minute: ")
    assert model.warnings[0].endswith("take it out of inputs.categories, and it is an amount")


def test_an_input_without_a_value_in_the_window_is_a_warning_of_the_model(make_rows: MakeRows, window_of: WindowOf) -> None:
    table = make_rows(pressure=lambda n: pa.nulls(n, pa.float64()))
    inputs = fitting({"load": "number", "pressure": "number?"})
    model = train_model(Logistic(), window_of(table, inputs), seed=1)
    assert [text.partition(":")[0] for text in model.warnings] == ["pressure"]
