"""Each family's library used directly, as its users do, with the settings that the product's defaults shall have."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from candidate_losses import Floats
from candidate_sets import CandidateSet, Task
from candidate_splits import Places, Split
from numpy.typing import NDArray

C, ALPHA = 0.03, 1.0
"""Inverse strength of the penalty of a logistic regression, and the strength of that of a linear one."""

UNITS, DROPOUT, WEIGHT_DECAY, LEARNING_RATE = (128, 64, 32), 0.2, 0.3, 1e-3
MIN_STEPS, MIN_EPOCHS = 300, 5

Predict = Callable[[CandidateSet, Split, int], Floats]


@dataclass(frozen=True, slots=True)
class Family:
    """A family, the tasks that it has, and the packages that decide its result. `predict` gets a set, a split and a seed."""

    predict: Predict
    tasks: frozenset[Task]
    packages: tuple[str, ...]


def predict_linear(data: CandidateSet, split: Split, seed: int) -> Floats:
    """Fit a logistic or a ridge regression by scikit-learn."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from threadpoolctl import threadpool_limits

    is_regression = data.task == "regression"
    model = Ridge(alpha=ALPHA) if is_regression else LogisticRegression(C=C, max_iter=1000)
    with threadpool_limits(1):
        pipeline = make_pipeline(_dense_columns(data), model).fit(_rows(data, split.train), data.y[split.train])
        return _answer(pipeline, data, _rows(data, split.test))


def predict_mlp(data: CandidateSet, split: Split, seed: int) -> Floats:
    """Train a network by Keras, with the layers and steps of the product."""
    keras = _load_keras()
    columns = _dense_columns(data)
    x = columns.fit_transform(_rows(data, split.train)).astype(np.float32)
    test = columns.transform(_rows(data, split.test)).astype(np.float32)
    y = data.y[split.train]
    mean, scale = (y.mean(), y.std()) if data.task == "regression" else (0.0, 1.0)
    batch = 2 ** min(max(round(math.log2(len(y) / 50)), 5), 9)
    steps = math.ceil(len(y) / batch)
    epochs = max(MIN_EPOCHS, math.ceil(MIN_STEPS / steps))
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    hidden = [layer for width in UNITS for layer in (dense(width, activation="relu"), keras.layers.Dropout(DROPOUT))]
    units, activation, loss = {
        "binary": (1, "sigmoid", "binary_crossentropy"),
        "multiclass": (len(data.classes), "softmax", "sparse_categorical_crossentropy"),
        "regression": (1, None, "mean_squared_error"),
    }[data.task]
    model = keras.Sequential([keras.Input((x.shape[1],)), *hidden, dense(units, activation=activation)])
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    model.fit(x, (y - mean) / scale, batch_size=batch, epochs=epochs, verbose=0)
    answer = np.asarray(model(test), dtype=np.float64)
    return answer if data.task == "multiclass" else answer[:, 0] * scale + mean


def predict_lightgbm(data: CandidateSet, split: Split, seed: int) -> Floats:
    """Train 200 trees by LightGBM, whose size follows from the strength of the rows."""
    import lightgbm

    y = data.y[split.train]
    strength = _strength(data.task, y)
    kind = lightgbm.LGBMRegressor if data.task == "regression" else lightgbm.LGBMClassifier
    model = kind(
        n_estimators=200,
        learning_rate=0.05,
        num_leaves=6 if strength < 3000 else 12 if strength < 20_000 else 31,
        min_child_samples=int(np.clip(strength / 100, 10, 100)),
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.5,
        reg_lambda=5,
        cat_smooth=30,
        deterministic=True,
        force_row_wise=True,
        random_state=seed,
        n_jobs=1,
        verbose=-1,
    )
    train, test = _with_category_types(data, split)
    return _answer(model.fit(train, y), data, test)


def predict_xgboost(data: CandidateSet, split: Split, seed: int) -> Floats:
    """Train 200 trees by XGBoost, whose size follows from the strength of the rows."""
    import xgboost

    y = data.y[split.train]
    strength = _strength(data.task, y)
    kind = xgboost.XGBRegressor if data.task == "regression" else xgboost.XGBClassifier
    model = kind(
        n_estimators=200,
        learning_rate=0.05,
        max_depth=3 if strength < 3000 else 4 if strength < 20_000 else 5,
        min_child_weight=float(np.clip(strength / 1000, 1, 20)),
        subsample=0.8,
        colsample_bytree=0.5,
        reg_lambda=5,
        tree_method="hist",
        enable_categorical=True,
        random_state=seed,
        n_jobs=1,
    )
    train, test = _with_category_types(data, split)
    return _answer(model.fit(train, y), data, test)


_ALL: frozenset[Task] = frozenset({"binary", "multiclass", "regression"})
FAMILIES = {
    "logistic": Family(predict_linear, frozenset({"binary", "multiclass"}), ("scikit-learn",)),
    "linear": Family(predict_linear, frozenset({"regression"}), ("scikit-learn",)),
    "mlp": Family(predict_mlp, _ALL, ("scikit-learn", "keras", "tensorflow")),
    "lightgbm": Family(predict_lightgbm, _ALL, ("lightgbm",)),
    "xgboost": Family(predict_xgboost, _ALL, ("xgboost-cpu",)),
}


def _rows(data: CandidateSet, places: Places) -> pd.DataFrame:
    """Return the inputs of some rows. A null category is an empty text."""
    rows = data.frame.iloc[places]
    return rows[[*data.numbers, *data.categories]].assign(**{name: rows[name].fillna("") for name in data.categories})


def _with_category_types(data: CandidateSet, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the inputs with categories of pandas. Those that the rows to train on lack are null."""
    train, test = _rows(data, split.train), _rows(data, split.test)
    types = {name: pd.CategoricalDtype(sorted(train[name].unique())) for name in data.categories}
    return train.astype(types), test.astype(types)


def _dense_columns(data: CandidateSet) -> Any:
    """Return the transformer to a matrix: standardised numbers, marks of nulls, one-hot categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    amounts = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    return ColumnTransformer(
        [
            ("amounts", amounts, data.numbers),
            ("nulls", MissingIndicator(error_on_new=False), data.numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), data.categories),
        ]
    )


def _answer(model: Any, data: CandidateSet, rows: pd.DataFrame) -> Floats:
    """Return the answers of a model with scikit-learn's methods."""
    if data.task == "regression":
        return np.asarray(model.predict(rows), dtype=np.float64)
    probabilities = np.asarray(model.predict_proba(rows), dtype=np.float64)
    return probabilities[:, 1] if data.task == "binary" else probabilities


def _strength(task: Task, y: NDArray[Any]) -> float:
    """Return how much rows can tell: their number, times 4p(1-p) in a binary task and the Gini impurity among classes."""
    if task == "regression":
        return len(y)
    impurity = 1 - float(np.sum((np.bincount(y) / len(y)) ** 2))
    return len(y) * impurity * (2 if task == "binary" else 1)


def _load_keras() -> Any:
    """Import Keras with one thread. The product sets the same, and TensorFlow refuses another number later."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    return keras
