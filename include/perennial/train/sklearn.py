"""The family `sklearn`: a classifier or regressor of scikit-learn by its import path."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np

from perennial.errors import RefusedError
from perennial.train.estimators import Classifier, Regressor, make_estimator, on_one_thread, seed_libraries
from perennial.train.preprocess import fit_preprocessing
from perennial.train.views import Dense

if TYPE_CHECKING:
    from perennial.config.candidates import Sklearn
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.window import Window

log = logging.getLogger(__name__)


def prepare(window: Window, settings: Sklearn) -> Dense:
    """Return the dense view of a row: it has no nulls, on which skl2onnx would export forests wrongly."""
    return Dense(window.inputs, fit_preprocessing(window))


def fit(
    rows: MatrixFiles,
    settings: Sklearn,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
) -> Classifier | Regressor:
    """Fit the estimator to all rows at once, on one thread. It ignores checkpoints and the weights of another training."""
    target = rows.window.target
    model = make_estimator(settings, target.label.task, seed)
    whole = rows.read_whole()
    labels = whole.y.astype(np.int64) if target.is_classes else whole.y
    seed_libraries(seed)  # estimators inside of others take no seed
    with on_one_thread(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            model.fit(whole.rows.columns, labels)
        except (OverflowError, TypeError, ValueError) as error:
            cause = " ".join(str(error).split())[:1000]
            raise RefusedError(f"{settings.estimator} cannot be fitted to this window", [cause], "Change its params.") from error
    for text in dict.fromkeys(" ".join(str(item.message).split()) for item in caught):
        log.warning("%s: %s", settings.estimator, text)
    log.info("scikit-learn: %s on %s rows", settings.estimator, rows.rows)
    return Classifier(model, settings.estimator, target.outputs) if target.is_classes else Regressor(model, settings.estimator)
