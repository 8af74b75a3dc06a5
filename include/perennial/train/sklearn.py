"""The family `sklearn`: a classifier of scikit-learn by its import path."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np

from perennial.errors import RefusedError
from perennial.train.estimators import Estimator, make_estimator, seed_libraries
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
) -> Estimator:
    """Fit the estimator to all rows at once, on one thread. It ignores checkpoints and the weights of another training."""
    from threadpoolctl import threadpool_limits

    model = make_estimator(settings, seed)
    whole = rows.read_whole()
    seed_libraries(seed)  # estimators inside of others take no seed
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            model.fit(whole.rows.columns, whole.y.astype(np.int64))
        except (TypeError, ValueError) as error:
            cause = " ".join(str(error).split())[:1000]
            raise RefusedError(f"{settings.estimator} cannot be fitted to this window", [cause], "Change its params.") from error
    for text in dict.fromkeys(" ".join(str(item.message).split()) for item in caught):
        log.warning("%s: %s", settings.estimator, text)
    log.info("scikit-learn: %s on %s rows", settings.estimator, rows.rows)
    return Estimator(model, settings.estimator)
