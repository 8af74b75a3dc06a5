"""Candidates of each family, with the files of those that have one."""

from __future__ import annotations

from typing import Any

from perennial.config.candidates import FAMILIES, Family, Sklearn
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

FOREST = """
from sklearn.ensemble import ExtraTreesClassifier


def fit(rows, task, seed):
    assert task.name == "binary"
    return ExtraTreesClassifier(20, min_samples_leaf=5, random_state=seed).fit(rows.x, rows.y)
"""

TRAINED = ["mlp", "logistic", "xgboost", "lightgbm", "sklearn", "keras", "file"]
"""The families that are trained."""

_FILES = {"keras": NETWORK, "file": FOREST}
_FOREST = Sklearn(
    estimator="sklearn.ensemble.RandomForestClassifier", params={"n_estimators": 20, "min_samples_leaf": 5, "max_depth": 8}
)


def settings_of(family: str) -> Family:
    """Return settings of a family: its defaults, but for what it requires."""
    return _FOREST if family == "sklearn" else FAMILIES[family]()


def author_of(family: str, source: str | None = None) -> Author | None:
    """Return the file of a candidate of a family; None if the family has none."""
    text = _FILES.get(family) if source is None else source
    return None if text is None else Author(f"candidates/{family}.py", text)


def train(family: str, window: Window, seed: int = 1, source: str | None = None, **options: Any) -> Model:
    """
    Train a candidate of a family.

    :param source: the text of its file
    :param options: settings
    """
    settings = settings_of(family)
    chosen = type(settings).model_validate({**settings.model_dump(), **options})
    return train_model(chosen, window, seed, author=author_of(family, source))
