"""The candidate `logistic`: logistic regression."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.train.layers import Layer
from perennial.train.matrix import Matrix

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from perennial.train.checkpoints import Checkpoints

log = logging.getLogger(__name__)

_C = 0.03
"""Inverse strength of the penalty (scikit-learn's C). It was the best value on the demo's walk-forward protocol."""


_TOLERANCE = 1e-6
"""The largest gradient at which the solver for codes stops; the other solver usually ends below it by itself."""


def fit(
    matrix: Matrix,
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

    if matrix.sizes:
        # The Cholesky solve needs memory for columns squared; conjugate gradients need only the non-zero cells.
        model = LogisticRegression(C=_C, solver="newton-cg", tol=_TOLERANCE, random_state=seed)
        model.fit(_sparse(matrix), y)
    else:
        # Newton's method with a Cholesky solve needs a handful of iterations where the default solver needs hundreds.
        # It is also deterministic.
        model = LogisticRegression(C=_C, solver="newton-cholesky", random_state=seed)
        model.fit(matrix.columns.astype(np.float64), y)
    log.info("Logistic regression: %s iterations", int(model.n_iter_[0]))
    return [Layer(model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32), "sigmoid")]


def _sparse(matrix: Matrix) -> csr_array:
    """Return the matrix with a one-hot column for each class of each code."""
    from scipy.sparse import csr_array, hstack

    parts, count = [csr_array(matrix.columns.astype(np.float64))], len(matrix.codes)
    for code, size in zip(matrix.codes.T, matrix.sizes, strict=True):
        rows = np.flatnonzero(code < size)
        parts.append(csr_array((np.ones(len(rows)), (rows, code[rows])), shape=(count, size)))
    return csr_array(hstack(parts))
