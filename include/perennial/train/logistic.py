"""The candidate `logistic`: logistic regression."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.models.scoring import Numbers
from perennial.train.layers import Layer

if TYPE_CHECKING:
    from perennial.train.checkpoints import Checkpoints

log = logging.getLogger(__name__)

_C = 0.03
"""Inverse strength of the penalty (scikit-learn's C). It was the best value on the demo's walk-forward protocol."""


def fit(
    matrix: Numbers,
    y: NDArray[np.int8],
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: list[Layer] | None = None,
) -> list[Layer]:
    """
    Fit a logistic regression and return it as one layer.

    It fits in one call, so it ignores checkpoints and the layers of another training.
    """
    from sklearn.linear_model import LogisticRegression

    # Newton's method with a Cholesky solve needs a handful of iterations where the default solver needs hundreds.
    # It is also deterministic.
    model = LogisticRegression(C=_C, solver="newton-cholesky", random_state=seed)
    model.fit(matrix.astype(np.float64), y)
    log.info("Logistic regression: %s iterations", int(model.n_iter_[0]))
    return [Layer(model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32), "sigmoid")]
