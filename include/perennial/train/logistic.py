"""The candidate `logistic`: logistic regression."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.train.layers import Layer
from perennial.train.matrix import Matrix
from perennial.train.newton import newton

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles

log = logging.getLogger(__name__)

_C = 0.03
"""Inverse strength of the penalty (scikit-learn's C). It was the best value on the demo's walk-forward protocol."""


_TOLERANCE = 1e-6
"""The largest gradient at which the solver for codes stops; Newton's method usually ends below it by itself."""


def fit(
    matrix: MatrixFiles,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: list[Layer] | None = None,
) -> list[Layer]:
    """
    Fit a logistic regression and return it as one layer.

    It takes a handful of passes over the rows, so it ignores checkpoints and the layers of another training.
    """
    from threadpoolctl import threadpool_limits

    # Threads of BLAS wait for each other in a busy loop: two of them cost more than twice the CPU time of one.
    with threadpool_limits(1, user_api="blas"):
        weights, passes = _fit_codes(matrix, seed) if matrix.sizes else newton(matrix, _C)
    log.info("Logistic regression: %s iterations", passes)
    return [Layer(weights[:-1, None].astype(np.float32), weights[-1:].astype(np.float32), "sigmoid")]


def _fit_codes(matrix: MatrixFiles, seed: int) -> tuple[NDArray[np.float64], int]:
    """Fit columns and codes. Newton's method with a Cholesky solve needs memory for columns squared; this needs the cells."""
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    parts = [(_sparse(rows), y) for rows, y in matrix.read()]
    model = LogisticRegression(C=_C, solver="newton-cg", tol=_TOLERANCE, random_state=seed)
    model.fit(vstack([rows for rows, _ in parts]), np.concatenate([y for _, y in parts]))
    return np.append(model.coef_[0], model.intercept_), int(model.n_iter_[0])


def _sparse(matrix: Matrix) -> csr_array:
    """Return the matrix with a one-hot column for each class of each code."""
    from scipy.sparse import csr_array, hstack

    parts, count = [csr_array(matrix.columns.astype(np.float64))], len(matrix.codes)
    for code, size in zip(matrix.codes.T, matrix.sizes, strict=True):
        rows = np.flatnonzero(code < size)
        parts.append(csr_array((np.ones(len(rows)), (rows, code[rows])), shape=(count, size)))
    return csr_array(hstack(parts))
