"""The family `linear`: linear regression with a penalty on the squares of its weights (ridge)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perennial.train.climb import climb
from perennial.train.layers import Network, add_up, linear_network
from perennial.train.preprocess import fit_preprocessing
from perennial.train.views import Dense

if TYPE_CHECKING:
    from perennial.config.candidates import Linear
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix import Floats, Matrix
    from perennial.train.matrix_files import MatrixFiles, Part
    from perennial.train.window import Window

log = logging.getLogger(__name__)

STRENGTHS = (30.0, 3.0, 0.3, 0.03)
_MAX_STEPS = 100
_TOLERANCE = 1e-8
"""The residual at which conjugate gradients stop, as a share of the first one."""

_MIN_ROWS = 20
"""Rows before the window's last dates, and on them, below which nothing is compared."""


def prepare(window: Window, settings: Linear) -> Dense:
    """Return the dense view of a row."""
    return Dense(window.inputs, fit_preprocessing(window, settings.bins))


def fit(
    rows: MatrixFiles,
    settings: Linear,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
) -> Network:
    """
    Solve the normal equations, from sums over the rows in their order, and return the solution as one layer.

    It takes one pass, and beside wide categories a few dozen, so it ignores checkpoints and the weights of another training.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        alpha = choose_alpha(rows) if settings.alpha is None else settings.alpha
        weights = _solve_in_passes(rows, alpha) if rows.sizes else _solve(_sums(rows.read(), rows), alpha)
    log.info("Linear regression: alpha %g", alpha)
    return linear_network(weights)


def choose_alpha(rows: MatrixFiles) -> float:
    """
    Return the strength of the penalty.

    It goes from a cautious value to the next as long as a fit without the window's last dates gains more than a standard error
    on them. A sample of the rows is enough. A window of wide categories keeps the cautious value.
    """
    if rows.sizes:
        return STRENGTHS[0]
    early = _sums((part.where(~part.late) for part in rows.read_some()), rows)
    late = [part.where(part.late) for part in rows.read_some()]
    if min(early.rows, sum(len(part.y) for part in late)) < _MIN_ROWS:
        return STRENGTHS[0]
    return climb(STRENGTHS, lambda alpha: _errors(late, _solve(early, alpha)))


@dataclass(frozen=True, slots=True)
class _Sums:
    """The normal equations of some rows, with the column of ones last."""

    rows: int
    squares: Floats
    products: Floats


def _sums(parts: Iterator[Part], rows: MatrixFiles) -> _Sums:
    width = rows.columns + 1
    squares, products, count = np.zeros((width, width)), np.zeros(width), 0
    for matrix, y, *_ in parts:
        x = _with_ones(matrix)
        squares += x.T @ x
        products += x.T @ y.astype(np.float64)
        count += len(y)
    return _Sums(count, squares, products)


def _solve(sums: _Sums, alpha: float) -> Floats:
    """Return the weights [columns, intercept]; the intercept is not penalised."""
    from scipy.linalg import solve

    penalty = np.append(np.full(len(sums.products) - 1, alpha), 0.0)
    weights: Floats = solve(sums.squares + np.diag(penalty), sums.products, assume_a="pos", check_finite=False)
    return weights


def _errors(parts: list[Part], weights: Floats) -> Floats:
    """Return the squared errors of some rows."""
    network = linear_network(weights)
    return np.concatenate([(part.y - network.margins(part.rows)) ** 2 for part in parts])


def _with_ones(rows: Matrix) -> Floats:
    return np.hstack([rows.columns.astype(np.float64), np.ones((len(rows.columns), 1))])


def _solve_in_passes(rows: MatrixFiles, alpha: float) -> Floats:
    """
    Return the weights by conjugate gradients, each step a pass over the rows.

    The normal equations of wide categories would take memory for their number squared.
    """
    penalty = np.append(np.full(rows.columns + sum(rows.sizes), alpha), 0.0)

    def multiply(weights: Floats) -> Floats:
        network = linear_network(weights)
        return penalty * weights + sum(add_up(part.rows, network.margins(part.rows)) for part in rows.read())

    residual: Floats = np.asarray(sum(add_up(part.rows, part.y.astype(np.float64)) for part in rows.read()))
    weights, direction, size = np.zeros(len(penalty)), residual, float(residual @ residual)
    least = size * _TOLERANCE**2
    for _ in range(_MAX_STEPS):
        if size <= least:
            break
        product = multiply(direction)
        step = size / float(direction @ product)
        weights = weights + step * direction
        residual = residual - step * product
        before, size = size, float(residual @ residual)
        direction = residual + size / before * direction
    return weights
