"""Candidates of each family, with the files of those that have one."""

from __future__ import annotations

from typing import Any

from windows import LABEL

from perennial.config.candidates import FAMILIES, Family, Keras, PyTorch, Sklearn
from perennial.config.label import Label, NumberLabel
from perennial.train.author import Author
from perennial.train.model import Model, train_model
from perennial.train.window import Window

NETWORK = """
import keras


def build(columns, task):
    rows = keras.Input((len(columns),))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(16, activation="silu")(rows))
    return keras.Model(rows, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dropout(0.1)(hidden)))
"""

TORCH_NETWORK = """
from torch import nn


def build(columns, task):
    first = nn.Linear(len(columns), 16)
    return nn.Sequential(first, nn.SiLU(), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.Linear(16, task.outputs))
"""

FOREST = """
from sklearn.ensemble import ExtraTreesClassifier


def fit(rows, task, seed):
    assert task.name == "binary"
    return ExtraTreesClassifier(20, min_samples_leaf=5, random_state=seed).fit(rows.x, rows.y)
"""

NETWORK_OF_NUMBERS = NETWORK.replace(', activation="sigmoid"', "")

FOREST_OF_NUMBERS = """
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor


def fit(rows, task, seed):
    assert task.name == "regression"
    if task.predict == "mean":
        return ExtraTreesRegressor(20, min_samples_leaf=5, random_state=seed).fit(rows.x, rows.y)
    return GradientBoostingRegressor(loss="quantile", alpha=task.quantile, random_state=seed).fit(rows.x, rows.y)
"""

NETWORK_OF_CLASSES = NETWORK.replace('Dense(1, activation="sigmoid")', 'Dense(task.outputs, activation="softmax")')

FOREST_OF_CLASSES = FOREST.replace('"binary"', '"multiclass"')

TRAINED = ["mlp", "logistic", "xgboost", "lightgbm", "sklearn", "keras", "file"]
"""The families that are trained on classes."""

TRAINED_ON_NUMBERS = ["linear", "mlp", "xgboost", "lightgbm", "sklearn", "keras", "file"]
"""The families that are trained on numbers."""

_FILES = {
    "binary": {"keras": NETWORK, "pytorch": TORCH_NETWORK, "file": FOREST},
    "multiclass": {"keras": NETWORK_OF_CLASSES, "pytorch": TORCH_NETWORK, "file": FOREST_OF_CLASSES},
    "regression": {"keras": NETWORK_OF_NUMBERS, "pytorch": TORCH_NETWORK, "file": FOREST_OF_NUMBERS},
}
_FOREST = Sklearn(
    estimator="sklearn.ensemble.RandomForestClassifier", params={"n_estimators": 20, "min_samples_leaf": 5, "max_depth": 8}
)


def settings_of(family: str, label: Label = LABEL) -> Family:
    """Return settings of a family: its defaults, but for what it requires."""
    if family == "keras" and label.task != "binary":
        return Keras(learning_rate=0.01)
    if family == "pytorch" and label.task != "binary":
        return PyTorch(learning_rate=0.01)
    if family != "sklearn":
        return FAMILIES[family]()
    if not isinstance(label, NumberLabel):
        return _FOREST
    loss = {"loss": "squared_error"} if label.quantile is None else {"loss": "quantile", "alpha": label.quantile}
    return Sklearn(estimator="sklearn.ensemble.GradientBoostingRegressor", params=loss)


def author_of(family: str, source: str | None = None, label: Label = LABEL) -> Author | None:
    """Return the file of a candidate of a family; None if the family has none."""
    text = _FILES[label.task].get(family) if source is None else source
    return None if text is None else Author(f"candidates/{family}.py", text)


def train(family: str, window: Window, seed: int = 1, source: str | None = None, **options: Any) -> Model:
    """
    Train a candidate of a family.

    :param source: the text of its file
    :param options: settings
    """
    label = window.target.label
    settings = settings_of(family, label)
    chosen = type(settings).model_validate({**settings.model_dump(), **options})
    return train_model(chosen, window, seed, author=author_of(family, source, label))
