"""The family `lightgbm`: gradient boosted trees that split categories by sets of classes."""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.errors import RefusedError
from perennial.train.lightgbm_trees import from_lightgbm
from perennial.train.matrix_files import PART_ROWS
from perennial.train.preprocess import fit_preprocessing
from perennial.train.strength import MIDDLE, WEAK, strength_of
from perennial.train.trees import Trees
from perennial.train.views import Table

if TYPE_CHECKING:
    from perennial.config.candidates import LightGBM
    from perennial.models.scoring import Numbers
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.target import Target
    from perennial.train.window import Window

log = logging.getLogger(__name__)

_CATEGORY_SMOOTHING = 30.0


def prepare(window: Window, settings: LightGBM) -> Table:
    """Return the view of a row as a table of numbers."""
    return Table(window.inputs, fit_preprocessing(window))


def fit(
    rows: MatrixFiles,
    settings: LightGBM,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
) -> Trees:
    """
    Train the trees on one thread. It ignores checkpoints and the weights of another training.

    LightGBM keeps the bins of all rows in memory, a byte a value, and reads the rows bucket by bucket.
    """
    lightgbm = _load()
    strength = strength_of(rows.rows, rows.window.target)
    parameters = {
        **_objective(rows.window.target),
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves or choose_leaves(strength),
        "min_data_in_leaf": settings.min_child_samples or choose_samples(strength),
        "bagging_fraction": max(settings.subsample, 1 / rows.rows),
        "bagging_freq": 1,
        "feature_fraction": settings.colsample_bytree,
        "lambda_l2": settings.reg_lambda,
        "cat_smooth": _CATEGORY_SMOOTHING,
    }
    categories = list(range(rows.columns - len(rows.categories), rows.columns))
    data: Any
    if len(rows.bucket_rows) == 1:
        whole = rows.read_bucket(0)
        data, y = whole.rows.columns, whole.y
    else:
        data = [_bucket_class()(rows, bucket) for bucket in range(len(rows.bucket_rows))]
        y = np.concatenate([part.y for part in rows.read()])
    labelled = lightgbm.Dataset(data, label=y, categorical_feature=categories, params=parameters, free_raw_data=True)
    booster = lightgbm.train(parameters, labelled, settings.trees)
    log.info("LightGBM: %s trees of at most %s leaves", settings.trees, parameters["num_leaves"])
    return Trees(booster, from_lightgbm, lambda some: booster.predict(some.columns, raw_score=True, num_threads=1))


def _objective(target: Target) -> dict[str, str | float]:
    """Return the loss of a target, as LightGBM names it."""
    if target.present:
        return {"objective": "multiclass", "num_class": target.outputs}
    if target.is_classes:
        return {"objective": "binary"}
    if target.quantile is None:
        return {"objective": "regression"}
    return {"objective": "regression_l1"} if target.quantile == 0.5 else {"objective": "quantile", "alpha": target.quantile}


def choose_leaves(strength: float) -> int:
    """Return the maximum number of leaves of a tree."""
    return 6 if strength < WEAK else 12 if strength < MIDDLE else 31


def choose_samples(strength: float) -> int:
    """Return the minimum number of rows of a leaf: a hundredth of the strength, from 10 to 100."""
    return int(min(max(strength / 100, 10), 100))


@cache
def _load() -> ModuleType:
    try:
        import lightgbm
    except OSError as error:
        raise RefusedError(
            f"LightGBM cannot be loaded: {error}",
            remedy="Install the OpenMP library of the system (Debian and Ubuntu: libgomp1, macOS: libomp), "
            "or train the family xgboost, which brings its own.",
        ) from None
    module: ModuleType = lightgbm
    return module


@cache
def _bucket_class() -> Any:
    """Return the class by which LightGBM reads the rows of a bucket."""
    import lightgbm

    class Bucket(lightgbm.Sequence):
        batch_size = PART_ROWS

        def __init__(self, rows: MatrixFiles, bucket: int) -> None:
            self._rows, self._bucket = rows, bucket
            self._columns: Numbers | None = None

        def __len__(self) -> int:
            return self._rows.bucket_rows[self._bucket]

        def __getitem__(self, place: Any) -> NDArray[np.float64]:
            if self._columns is None:
                self._columns = self._rows.read_bucket(self._bucket).rows.columns
            found = np.asarray(self._columns[place], dtype=np.float64)  # it takes no other type
            is_last = isinstance(place, slice) and place.stop is not None and place.stop >= len(self)
            if is_last:  # it is read in order, and not again soon
                self._columns = None
            return found

    return Bucket
