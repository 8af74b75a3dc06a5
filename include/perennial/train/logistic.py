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
"""Strength of the penalty: the best on the demo's walk-forward protocol."""


def fit(
    matrix: Numbers,
    y: NDArray[np.int8],
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: list[Layer] | None = None,
) -> list[Layer]:
    """Fit a logistic regression and return it as one layer; it is done in one step, so it neither pauses nor begins with another."""
    from sklearn.linear_model import LogisticRegression

    # Newton's steps with a Cholesky solve: a handful of iterations where the default solver needs hundreds, and no chance in it.
    model = LogisticRegression(C=_C, solver="newton-cholesky", random_state=seed)
    model.fit(matrix.astype(np.float64), y)
    log.info("Logistic regression: %s iterations", int(model.n_iter_[0]))
    return [Layer(model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32), "sigmoid")]
