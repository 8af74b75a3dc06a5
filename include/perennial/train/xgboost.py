"""The family `xgboost`: gradient boosted trees."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from perennial.train.preprocess import fit_preprocessing
from perennial.train.strength import MIDDLE, WEAK, strength_of
from perennial.train.trees import Trees
from perennial.train.views import Table
from perennial.train.xgboost_trees import from_xgboost

if TYPE_CHECKING:
    import xgboost

    from perennial.config.candidates import XGBoost
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix import Floats
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.target import Target
    from perennial.train.window import Window

log = logging.getLogger(__name__)

_MAX_BINS = 256
_CACHE = "bins"
"""The first part of the names of the files that XGBoost writes to scratch disk."""

MAX_SET_OF_CLASSES, MAX_SET_OF_NUMBERS = 16, 32
"""
A split divides as many classes of a category into any two sets, to predict classes or numbers, and more of them by their order.

Two sets of many classes fit the noise of their labels (ADR 44).
"""


def prepare(window: Window, settings: XGBoost) -> Table:
    """
    Return the view of a row as a table of numbers.

    A split divides few classes of a category into any two sets, and many into two ranges of places. Then their order matters: for
    a regression it is that of their mean labels, for several classes that of `_principal`, and for classes 0 and 1 that of their
    texts, which is as good, or better.
    """
    fitted = fit_preprocessing(window)
    if window.target.present or not window.target.is_classes:
        ordered = dict(fitted.text_classes)
        for name, means in window.mean_labels().items():
            if name in ordered and not _is_set(ordered[name].size, window.target):
                own = sorted(ordered[name].own)
                values = np.array([means[text] for text in own])
                places = values[:, 0] if values.shape[1] == 1 else _principal(values, [window.counts[name][text] for text in own])
                ordered[name] = replace(ordered[name], own=[own[place] for place in np.argsort(places, kind="stable")])
        fitted = replace(fitted, text_classes=ordered)
    return Table(window.inputs, fitted)


def _principal(shares: Floats, counts: list[int]) -> Floats:
    """
    Return the first principal component of shares of classes, [texts, classes], weighted by the number of rows of each text.

    Splits by its order are nearly as pure as the best ones by sets of texts: D. Coppersmith, S. J. Hong, J. R. M. Hosking,
    "Partitioning nominal attributes in decision trees", Data Mining and Knowledge Discovery 3 (1999).
    """
    weights = np.array(counts) / sum(counts)
    moved = shares - weights @ shares
    _, vectors = np.linalg.eigh((moved * weights[:, None]).T @ moved)
    direction = vectors[:, -1]
    # The sign of an eigenvector is open.
    component: Floats = moved @ (direction * np.sign(direction[np.argmax(np.abs(direction))]))
    return component


def fit(
    rows: MatrixFiles,
    settings: XGBoost,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
) -> Trees:
    """
    Train the trees on one thread, bucket by bucket. It ignores checkpoints and the weights of another training.

    A window of many buckets is binned into a cache on scratch disk. It gives the bytes that it gives in memory.
    """
    import xgboost

    strength = strength_of(rows.rows, rows.window.target)
    parameters = {
        **_objective(rows.window.target),
        "tree_method": "hist",
        "max_bin": _MAX_BINS,
        "nthread": 1,
        "seed": seed,
        "verbosity": 1,
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth or choose_depth(strength),
        "min_child_weight": choose_weight(strength) if settings.min_child_weight is None else settings.min_child_weight,
        "subsample": settings.subsample,
        "colsample_bytree": settings.colsample_bytree,
        "reg_lambda": settings.reg_lambda,
    }
    kind = xgboost.QuantileDMatrix if len(rows.bucket_rows) == 1 else xgboost.ExtMemQuantileDMatrix
    data = kind(_buckets_class()(rows), max_bin=_MAX_BINS, nthread=1, enable_categorical=True)
    scratch = rows.window.scratch
    pages = list(scratch.folder.glob(f"{_CACHE}*"))
    for page in pages:
        scratch.count(page)
    booster = xgboost.train(parameters, data, settings.trees)
    scratch.forget(pages)  # XGBoost deletes them with the data
    log.info("XGBoost: %s trees of depth %s", settings.trees, parameters["max_depth"])
    return Trees(booster, from_xgboost, lambda some: booster.inplace_predict(some.columns, predict_type="margin"))


def _is_set(size: int, target: Target) -> bool:
    """Return whether splits divide the classes of a category of this size into any two sets."""
    return size <= (MAX_SET_OF_CLASSES if target.is_classes else MAX_SET_OF_NUMBERS)


def _column_types(rows: MatrixFiles) -> list[str]:
    """Return "c" for each column that is divided by sets of classes, else "q", as XGBoost names them."""
    sizes = rows.categories
    return ["q"] * (rows.columns - len(sizes)) + ["c" if _is_set(size, rows.window.target) else "q" for size in sizes]


def _objective(target: Target) -> dict[str, str | float]:
    """Return the loss of a target, as XGBoost names it."""
    if target.present:
        return {"objective": "multi:softprob", "num_class": target.outputs}
    if target.is_classes:
        return {"objective": "binary:logistic"}
    if target.quantile is None:
        return {"objective": "reg:squarederror"}
    return {"objective": "reg:quantileerror", "quantile_alpha": target.quantile}


def choose_depth(strength: float) -> int:
    """Return the depth of the trees."""
    return 3 if strength < WEAK else 4 if strength < MIDDLE else 5


def choose_weight(strength: float) -> float:
    """Return the least sum of second derivatives in a leaf: a thousandth of the strength, from 1 to 20."""
    return min(max(strength / 1000, 1.0), 20.0)


@cache
def _buckets_class() -> Callable[[MatrixFiles], xgboost.DataIter]:
    """Return the class that hands the buckets of a window to XGBoost, in order."""
    import xgboost

    class Buckets(xgboost.DataIter):
        def __init__(self, rows: MatrixFiles) -> None:
            self._rows = rows
            self._types = _column_types(rows)
            self._next = 0
            scratch = rows.window.scratch.folder / _CACHE
            super().__init__(cache_prefix=str(scratch) if len(rows.bucket_rows) > 1 else None)

        def next(self, input_data: Callable[..., object]) -> bool:
            if self._next == len(self._rows.bucket_rows):
                return False
            some, y, _ = self._rows.read_bucket(self._next)
            input_data(data=some.columns, label=y.astype(np.float32), feature_types=self._types)
            self._next += 1
            return True

        def reset(self) -> None:
            self._next = 0

    return Buckets
