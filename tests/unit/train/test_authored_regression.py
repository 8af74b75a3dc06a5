"""Candidates of scikit-learn, Keras and files that predict a number: exact ones, refused ones, and what a file gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from authors import FOREST, NETWORK, NETWORK_OF_NUMBERS, train
from windows import store_minutes, with_minutes

from perennial.config.candidate_file import candidate_problems
from perennial.config.candidates import Sklearn
from perennial.config.label import NumberLabel
from perennial.config.pipeline import Inputs, Training
from perennial.errors import RefusedError
from perennial.train.compare import MAX_DIFFERENCE, compare, rows_to_compare
from perennial.train.estimators import estimator_problems
from perennial.train.holdout import HoldoutWriter
from perennial.train.model import Model
from perennial.train.scratch import Scratch
from perennial.train.window import Window

pytestmark = pytest.mark.tensorflow

MakeRows = Callable[..., pa.Table]
MEAN = NumberLabel(column="minutes", predict="mean")

LIGHTGBM = """
import lightgbm


def fit(rows, task, seed):
    loss = {"objective": "quantile", "alpha": task.quantile} if task.quantile else {}
    model = lightgbm.LGBMRegressor(n_estimators=30, min_child_samples=5, random_state=seed, n_jobs=1, verbose=-1, **loss)
    return model.fit(rows.x, rows.y, categorical_feature=list(rows.categories))
"""
XGBOOST = """
import xgboost


def fit(rows, task, seed):
    loss = {"objective": "reg:quantileerror", "quantile_alpha": task.quantile} if task.quantile else {}
    model = xgboost.XGBRegressor(n_estimators=40, max_depth=3, early_stopping_rounds=2, random_state=seed, n_jobs=1, **loss)
    return model.fit(rows.x, rows.y, eval_set=[(rows.x[:80], -rows.y[:80])], verbose=False)
"""
STACK = """
from sklearn.ensemble import GradientBoostingRegressor, StackingRegressor, VotingRegressor
from sklearn.linear_model import HuberRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def fit(rows, task, seed):
    trees = GradientBoostingRegressor(n_estimators=10, random_state=seed)
    both = VotingRegressor([("huber", HuberRegressor()), ("trees", trees)])
    return StackingRegressor([("linear", make_pipeline(StandardScaler(), Ridge())), ("both", both)], cv=2).fit(rows.x, rows.y)
"""
SEQUENTIAL = """
import keras


def fit(rows, task, seed):
    model = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    model.fit(rows.x, rows.y, epochs=2, verbose=0)
    return model
"""
RIDGE = "from sklearn.linear_model import Ridge\ndef fit(rows, task, seed):\n    return Ridge().fit(rows.x, rows.y)\n"
CLASSES = FOREST.replace("binary", "regression").replace("rows.y", "rows.y > 0")
LIGHTGBM_CLASSES = LIGHTGBM.replace("Regressor", "Classifier").replace("rows.y", "rows.y > 0")
LIGHTGBM_POISSON = LIGHTGBM.replace("**loss", "objective='poisson'").replace("rows.y", "abs(rows.y)")
XGBOOST_TWEEDIE = XGBOOST.replace("**loss", "objective='reg:tweedie'").replace("-rows", "rows").replace("rows.y", "abs(rows.y)")
XGBOOST_QUANTILES = XGBOOST.replace("**loss", "objective='reg:quantileerror', quantile_alpha=[0.1, 0.9]")


@pytest.fixture
def window(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> Callable[..., Window]:
    """Return a function that makes a window with a number as its label."""
    return lambda predict="mean", **rows: store_minutes(tmp_path, with_minutes(make_rows(**rows)), inputs, predict)


@pytest.fixture
def difference(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> Callable[[Model, Window], float]:
    """Return a function that compares a model with its library, by all rows that a training compares."""
    (tmp_path / "holdout").mkdir()
    writer = HoldoutWriter(Scratch(tmp_path / "holdout"), ["slot"], MEAN)
    writer.add(with_minutes(make_rows(seed=9)))
    holdout = writer.finish()
    return lambda model, window: compare(
        model.onnx, model.answerer(), "candidate", rows_to_compare(inputs, window, holdout, ["slot"]), window.target.spread
    )


Difference = Callable[[Model, Window], float]
MakeWindow = Callable[..., Window]


@pytest.mark.parametrize("predict", ["mean", "median", "quantile 0.9"])
@pytest.mark.parametrize("source", [LIGHTGBM, XGBOOST], ids=["lightgbm", "xgboost"])
def test_trees_of_each_loss_are_exact(window: MakeWindow, difference: Difference, source: str, predict: str) -> None:
    rows = window(predict)
    model = train("file", rows, source=source, view="table")
    assert difference(model, rows) < MAX_DIFFERENCE / 5
    assert train("file", rows, source=source, view="table").onnx == model.onnx


@pytest.mark.parametrize("source", [STACK, SEQUENTIAL, LIGHTGBM], ids=["stack", "keras", "lightgbm"])
def test_a_file_may_return_a_regressor_of_each_library(window: MakeWindow, difference: Difference, source: str) -> None:
    rows = window()
    model = train("file", rows, source=source)
    assert difference(model, rows) < MAX_DIFFERENCE / 2
    assert train("file", rows, source=source).onnx == model.onnx


@pytest.mark.parametrize(
    "path",
    [
        "ensemble.AdaBoostRegressor",
        "ensemble.RandomForestRegressor",
        "linear_model.HuberRegressor",
        "linear_model.LassoCV",
        "linear_model.QuantileRegressor",
        "linear_model.TweedieRegressor",
        "neighbors.KNeighborsRegressor",
        "neural_network.MLPRegressor",
        "svm.SVR",
        "tree.DecisionTreeRegressor",
    ],
)
def test_regressors_with_their_defaults_answer_as_their_graphs(window: MakeWindow, difference: Difference, path: str) -> None:
    rows = window(per_day=60)
    assert difference(train("sklearn", rows, estimator=f"sklearn.{path}", params={}), rows) < MAX_DIFFERENCE


@pytest.mark.parametrize(
    ("family", "source", "text"),
    [
        ("keras", NETWORK, "ends with Dense and the activation sigmoid.*End the network with.*without bounds"),
        ("keras", NETWORK.replace("sigmoid", "relu"), "ends with Dense and the activation relu"),
        ("file", SEQUENTIAL.replace("Dense(1)", "Dense(1, activation='softplus')"), "the activation softplus"),
        ("file", CLASSES, "ExtraTreesClassifier, which is not a regressor"),
        ("file", "from sklearn import cluster\ndef fit(*some):\n    return cluster.KMeans()\n", "KMeans, which is not a reg"),
        ("file", RIDGE.replace(".fit(rows.x, rows.y)", ""), "Ridge without n_features_in_: not fitted"),
        ("file", RIDGE.replace("rows.x,", "rows.x[:, :3],"), "a model of 3 columns, expected 41"),
        ("file", RIDGE.replace("rows.y", "rows.x[:, :2]"), "a regressor with 2 answers a row"),
        ("file", LIGHTGBM_POISSON, "LightGBM with the objective poisson, expected regression or"),
        ("file", LIGHTGBM_CLASSES, "LightGBM with the objective binary"),
        ("file", XGBOOST_TWEEDIE, "XGBoost with the objective reg:tweedie"),
        ("file", XGBOOST_QUANTILES, "XGBoost with 2 answers a row"),
        ("file", RIDGE.replace("linear_model", "compose").replace("Ridge", "TransformedTargetRegressor"), "become a graph"),
    ],
)  # fmt: skip
def test_what_cannot_predict_a_number_is_refused_with_its_cause(window: MakeWindow, family: str, source: str, text: str) -> None:
    with pytest.raises(RefusedError, match=f"(?s)candidates/{family}.py.*{text}"):
        train(family, window(days=1, per_day=60), source=source)


@pytest.mark.parametrize(
    ("path", "params", "task", "place", "text"),
    [
        ("linear_model.Ridge", {}, "binary", "estimator", "Ridge is a regressor, and task: binary needs a classifier"),
        ("svm.SVC", {}, "regression", "estimator", "SVC is a classifier, and task: regression needs a regressor"),
        ("cluster.KMeans", {}, "regression", "estimator", "is not an estimator, and task: regression needs a regressor"),
        ("svm.SVX", {}, "regression", "estimator", "Did you mean 'sklearn.svm.SVR'?"),
        ("linear_model.TweedieRegressor", {"power": 1.5}, "regression", "params.power", "from 1 on it takes no negative labels"),
        ("tree.DecisionTreeRegressor", {"criterion": "poisson"}, "regression", "params.criterion", "with poisson it takes no"),
        ("linear_model.QuantileRegressor", {"quantile": 2}, "regression", "params.quantile", "must be a float in the range"),
    ],
)  # fmt: skip
def test_estimators_that_do_not_fit_the_task_are_named_with_their_place(
    path: str, params: dict[str, Any], task: str, place: str, text: str
) -> None:
    ((at, found),) = estimator_problems(Sklearn(estimator=f"sklearn.{path}", params=params), task)
    assert ".".join(map(str, at)) == place
    assert text in found


def told(window: Window, family: str, source: str, values: Sequence[str]) -> str:
    """Return what a file finds: the values of some expressions, which it raises."""
    begin = source[: source.index("    ", source.index("def "))]
    with pytest.raises(RefusedError) as refused:
        train(family, window, source=f"{begin}    raise ValueError([{', '.join(values)}])\n")
    return str(refused.value)


def test_a_file_gets_the_task_and_scaled_labels_with_the_way_back(window: MakeWindow) -> None:
    rows = window("quantile 0.9")
    y = np.concatenate([bucket.y for bucket in rows.read()])
    task = ["task.name", "task.predict", "task.quantile"]
    assert "['regression', 'quantile 0.9', 0.9]" in told(rows, "keras", NETWORK_OF_NUMBERS, task)
    back = "[float((rows.y * rows.spread + rows.center).max()), str(rows.y.dtype)]"
    text = told(rows, "file", RIDGE, [*task, back])
    assert "['regression', 'quantile 0.9', 0.9, [" in text
    assert "'float32'" in text
    assert float(text.split("0.9, [")[1].split(",")[0]) == pytest.approx(y.max(), rel=1e-5)
    assert "['regression', 'median', 0.5]" in told(window("median"), "file", RIDGE, task)
    assert "['regression', 'mean', None]" in told(window(), "file", RIDGE, task)


@pytest.mark.parametrize(("family", "place"), [("keras", 0), ("file", 1)])
def test_the_documented_files_can_be_trained(
    window: MakeWindow, difference: Difference, documented: Callable[[str, str], list[str]], family: str, place: int
) -> None:
    source = documented("docs/how-to/predict-a-number.md", "python")[place]
    assert candidate_problems(source, family) == []
    *_, block = documented("docs/how-to/predict-a-number.md", "yaml")
    candidates = Training.model_validate(yaml.safe_load(block)["training"]).candidates
    assert [item.family for item in candidates.values()] == ["xgboost", "sklearn", "keras", "file"]
    assert list(estimator_problems(candidates["high"], "regression")) == []
    rows = window("quantile 0.9")
    options = {"epochs": 2} if family == "keras" else {}
    assert difference(train(family, rows, source=source, **options), rows) < MAX_DIFFERENCE / 2
