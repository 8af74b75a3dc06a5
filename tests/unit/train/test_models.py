"""The exported graph against Keras and scikit-learn, reruns, and windows from which nothing can be learned."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import onnx
import pyarrow as pa
import pytest
from authors import TRAINED, train
from sklearn.metrics import log_loss
from windows import LABEL, prepare

from perennial.config.candidates import FAMILIES, Logistic, Mlp
from perennial.config.pipeline import Inputs
from perennial.models.scoring import score, to_arrays
from perennial.store.content_name import sha256
from perennial.train import logistic, mlp
from perennial.train.checkpoints import Checkpoints
from perennial.train.holdout import StoredHoldout
from perennial.train.keras_training import load_keras
from perennial.train.layers import Layer, from_safetensors, to_safetensors
from perennial.train.model import Begin, Model, export, train_model
from perennial.train.prepare import Examples, why_untrainable
from perennial.train.schedule import choose_batch, choose_epochs
from perennial.train.views import ViewGraph
from perennial.train.window import Window

pytestmark = pytest.mark.tensorflow

MakeRows = Callable[..., pa.Table]
WindowOf = Callable[[pa.Table, Inputs], Window]
DAYS = [date(2024, 2, 26) + timedelta(days=i) for i in range(4)]


def test_mlp_graph_agrees_with_keras(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    rows = make_rows()
    view, matrix = prepare(window_of(rows, inputs))
    found = mlp.fit(matrix, Mlp(), 3)
    network = mlp.build(matrix.columns, (), Mlp(), 5, 1e-3)
    network.set_weights([array for layer in found.layers for array in (layer.kernel, layer.bias)])
    expected = network.predict(ViewGraph(view).of(*to_arrays(rows, inputs)).columns, verbose=0)[:, 0]
    probabilities = score(export(view, found, matrix.window.target), rows, inputs)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert probabilities.std() > 0.01


def test_warm_start_trains_the_weights_on_for_one_epoch(
    inputs: Inputs, make_rows: MakeRows, caplog: pytest.LogCaptureFixture, window_of: WindowOf
) -> None:
    before = train_model(Mlp(), window_of(make_rows(seed=8), inputs), seed=4)
    begin = Begin("mlp-before", before.columns, before.weights)
    caplog.clear()
    window = window_of(make_rows(), inputs)
    with caplog.at_level("INFO", logger="perennial.train"):
        warm = train_model(Mlp(), window, 7, begin=begin)
    assert [line for line in caplog.messages if line.startswith("epoch")] == [caplog.messages[-1]]
    assert "Starting from the weights of mlp-before" in caplog.messages
    assert digests(train_model(Mlp(), window, 7, begin=begin)) == digests(warm) != digests(before)
    moved = [np.abs(a.kernel - b.kernel).max() for a, b in zip(weights(warm), weights(before), strict=True)]
    assert 0 < max(moved) < 0.1
    assert to_safetensors(weights(warm)) == warm.weights


def test_weights_of_other_columns_are_no_beginning(
    inputs: Inputs, make_rows: MakeRows, caplog: pytest.LogCaptureFixture, window_of: WindowOf
) -> None:
    rows = make_rows(seed=8)
    fewer = rows.filter(pa.compute.not_equal(rows["site"], "west"))
    before = train_model(Mlp(), window_of(fewer, inputs), seed=4)
    window = window_of(make_rows(), inputs)
    with caplog.at_level("INFO", logger="perennial.train"):
        found = train_model(Mlp(), window, 7, begin=Begin("mlp-before", before.columns, before.weights))
    reason = "the columns differ from those of mlp-before, a category appeared or disappeared"
    assert f"Starting from random weights: {reason}" in caplog.messages
    assert digests(found) == digests(train_model(Mlp(), window, 7))


def weights(model: Model) -> list[Layer]:
    assert model.weights is not None
    return from_safetensors(model.weights)


def test_logistic_graph_agrees_with_scikit_learn(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    from sklearn.linear_model import LogisticRegression

    rows = make_rows()
    view, matrix = prepare(window_of(rows, inputs))
    columns, y = ViewGraph(view).of(*to_arrays(rows, inputs)).columns.astype(float), rows["failed"].to_numpy()
    expected = LogisticRegression(C=0.03, max_iter=2000, tol=1e-8).fit(columns, y).predict_proba(columns)[:, 1]
    found = score(export(view, logistic.fit(matrix, Logistic(), 0), matrix.window.target), rows, inputs)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_training_after_others_in_one_process_gives_the_bits_that_it_gives_alone(
    inputs: Inputs, make_rows: MakeRows, monkeypatch: pytest.MonkeyPatch, window_of: WindowOf
) -> None:
    def trained(per_day: int, seed: int) -> bytes:
        return train_model(Mlp(), window_of(make_rows(per_day=per_day), inputs), seed).weights

    monkeypatch.setattr(mlp, "_networks", {})
    after = [trained(200, 1), trained(500, 2), trained(200, 3)]
    assert len(mlp._networks) == 1
    alone = []
    for per_day, seed in ((200, 1), (500, 2), (200, 3)):
        monkeypatch.setattr(mlp, "_networks", {})
        alone.append(trained(per_day, seed))
    assert after == alone
    assert len(set(after)) == 3


class Lost(Exception):
    """Stands for the loss of a node."""


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_that_goes_on_from_a_checkpoint_ends_with_the_same_bits(
    inputs: Inputs, make_rows: MakeRows, s3, epochs: int, window_of: WindowOf
) -> None:
    class LosingNode(Checkpoints):
        def save(self, buckets: int, state) -> None:
            super().save(buckets, state)
            if buckets == epochs:
                raise Lost

    window = window_of(make_rows(), inputs)
    whole = digests(train_model(Mlp(), window, seed=7))
    prefix = f"{s3.lake}/models/x.checkpoints/"
    with pytest.raises(Lost):
        train_model(Mlp(), window, 7, LosingNode(s3.objects, prefix, seconds=0))
    load_keras().utils.set_random_seed(99)  # what another process would find is not what was left here
    again = Checkpoints(s3.objects, prefix, seconds=0)
    assert digests(train_model(Mlp(), window, 7, again)) == whole
    assert len(list(s3.objects.list(prefix))) == 1, "only the last one is kept"
    again.clear()
    assert list(s3.objects.list(prefix)) == []


def test_a_short_training_writes_no_checkpoint(inputs: Inputs, make_rows: MakeRows, s3, window_of: WindowOf) -> None:
    prefix = f"{s3.lake}/models/x.checkpoints/"
    train_model(Mlp(), window_of(make_rows(), inputs), 7, Checkpoints(s3.objects, prefix))
    assert list(s3.objects.list(prefix)) == []


def test_graph_names_the_known_categories(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    model = onnx.load_from_string(train_model(Logistic(), window_of(make_rows(), inputs), seed=1).onnx)
    metadata = {item.key: json.loads(item.value) for item in model.metadata_props}
    assert metadata == {"categories": {"shift": ["", "a", "b"], "site": ["north", "south", "west"]}}
    assert [item.name for item in model.graph.input] == ["numbers", "texts"]
    assert [item.name for item in model.graph.output] == ["probability"]


@pytest.mark.parametrize("candidate", TRAINED)
@pytest.mark.parametrize("inputs_alone", [{"load": "number"}, {"site": "category"}], ids=["numbers", "texts"])
def test_one_kind_of_input_is_enough(
    make_rows: MakeRows, inputs_alone: dict[str, str], window_of: WindowOf, candidate: str
) -> None:
    inputs = Inputs.model_validate({"request": inputs_alone})
    rows = make_rows()
    p, y = score(train(candidate, window_of(rows, inputs)).onnx, rows, inputs), rows["failed"].to_numpy()
    assert p.shape == (480,)
    assert p[y].mean() > p[~y].mean()


def test_no_rows_and_one_row_are_scored(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    table = make_rows()
    model = train_model(Logistic(), window_of(table, inputs), seed=1)
    assert score(model.onnx, table.slice(0, 0), inputs).shape == (0,)
    np.testing.assert_allclose(score(model.onnx, table.slice(3, 1), inputs), score(model.onnx, table, inputs)[3:4], atol=1e-6)


def test_progress_of_each_epoch_is_logged(
    inputs: Inputs, make_rows: MakeRows, caplog: pytest.LogCaptureFixture, window_of: WindowOf
) -> None:
    with caplog.at_level(logging.INFO, logger="perennial.train.mlp"):
        train_model(Mlp(), window_of(make_rows(), inputs), seed=1)
    assert [message.split(":")[0] for message in caplog.messages] == [f"epoch {n}/20" for n in (4, 8, 12, 16, 20)]


@pytest.mark.parametrize(
    ("rows", "batch", "epochs"),
    [(1, 32, 300), (480, 32, 20), (2_014, 32, 5), (7_000, 128, 6), (25_650, 512, 6), (30_720, 512, 5), (80_000, 512, 5)],
)
def test_a_small_window_gets_small_batches_and_as_many_epochs_as_give_300_steps(rows: int, batch: int, epochs: int) -> None:
    assert choose_batch(rows) == batch
    assert choose_epochs(math.ceil(rows / batch)) == epochs


def test_the_network_learns_from_few_rows(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    """Five epochs of one batch each would leave it at the loss of a constant forecast."""
    window, later = make_rows(), make_rows(seed=6, per_day=1000)
    y = later["failed"].to_numpy()
    losses = {
        name: log_loss(y, score(train_model(FAMILIES[name](), window_of(window, inputs), seed=1).onnx, later, inputs))
        for name in ("mlp", "logistic", "xgboost", "lightgbm")
    }
    constant = log_loss(y, np.full(len(y), window["failed"].to_numpy().mean()))
    assert losses["mlp"] < 1.05 * losses["logistic"] < 0.95 * constant, (losses, constant)


@pytest.mark.parametrize(("value", "word"), [(True, "positive"), (False, "negative")])
def test_a_window_of_one_class_is_a_reason_not_to_train(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, value: bool, word: str
) -> None:
    one = make_rows(failed=lambda n: pa.array([value] * n))
    found = why_untrainable(Examples(window_of(one, inputs), holdout_of(one), 0, 0))
    assert f"the training window has 480 rows, all of them {word}" in str(found)


def test_a_window_or_a_holdout_without_rows_is_a_reason_not_to_train(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf
) -> None:
    rows, one = make_rows(), make_rows(days=1, per_day=1)

    def why(window: pa.Table, holdout: pa.Table) -> str:
        return str(why_untrainable(Examples(window_of(window, inputs), holdout_of(holdout), 0, 0)))

    assert why(rows, rows) == "None"
    assert "the training window has 1 rows" in why(one, rows)
    assert "the training window has no rows with a label" in why(rows.slice(0, 0), rows)
    assert "the holdout has no rows with a label" in why(rows, rows.slice(0, 0))


def digests(model: Model) -> list[str]:
    return [sha256(model.onnx), sha256(model.weights or b"")]


def holdout_of(table: pa.Table) -> StoredHoldout:
    return StoredHoldout(None, table.num_rows, LABEL)
