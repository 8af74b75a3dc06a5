"""Newton's method for a logistic regression on rows that are read bucket by bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.errors import PerennialError

if TYPE_CHECKING:
    from perennial.train.matrix_files import MatrixFiles

_SLICE_ROWS = 16_384
_TOLERANCE = 1e-4
_MAX_STEPS = 100
_MAX_HALVINGS = 20
_ARMIJO = 2.0**-11
_EPSILON = 16 * float(np.finfo(np.float64).eps)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Sums:
    """The objective (mean loss and penalty) at some weights, with its first and second derivatives."""

    loss: float
    gradient: Floats
    hessian: Floats


def newton(matrix: MatrixFiles, strength: float) -> tuple[Floats, int]:
    """
    Return the weights [columns + 1], the intercept last, and the number of steps.

    The objective, the steps, the line search and the rule to stop are those of scikit-learn's solver "newton-cholesky", so that
    it gives the same weights as 32-bit floats. It needs memory for one bucket and for columns squared; the sums are added in the
    order of the rows, so that they have the same bits in each run.

    :param strength: the inverse strength of the penalty, scikit-learn's C; the intercept is not penalised
    """
    from scipy.linalg import solve

    weights = np.zeros(matrix.columns + 1)
    at = _sum(matrix, weights, strength)
    for step in range(1, _MAX_STEPS + 1):
        direction = solve(at.hessian, -at.gradient, assume_a="sym", check_finite=False)
        weights, reached = _search(matrix, weights, at, direction, strength)
        decrement = 0.5 * float(direction @ at.hessian @ direction)
        at = reached
        if np.abs(at.gradient).max() <= _TOLERANCE and decrement <= _TOLERANCE:
            return weights, step
    raise PerennialError(f"Logistic regression: no solution after {_MAX_STEPS} steps, gradient {np.abs(at.gradient).max():.2g}")


def _search(matrix: MatrixFiles, weights: Floats, at: _Sums, direction: Floats, strength: float) -> tuple[Floats, _Sums]:
    """Return the weights along a direction at which the objective is low enough: the whole step, or a half of it, and so on."""
    slope = _ARMIJO * float(at.gradient @ direction)
    size = 1.0
    for _ in range(_MAX_HALVINGS + 1):
        moved = weights + size * direction
        reached = _sum(matrix, moved, strength)
        gain = reached.loss - at.loss
        is_flat = abs(gain) <= abs(at.loss * _EPSILON) and np.abs(reached.gradient).sum() < np.abs(at.gradient).sum()
        if gain <= size * slope or is_flat:
            return moved, reached
        size /= 2
    raise PerennialError(f"Logistic regression: no step lowers the loss {at.loss:.6g}, gradient {np.abs(at.gradient).max():.2g}")


def _sum(matrix: MatrixFiles, weights: Floats, strength: float) -> _Sums:
    from scipy.special import expit

    penalty = np.append(np.full(len(weights) - 1, 1.0), 0.0) / strength
    loss = float(penalty @ weights**2) / 2
    gradient = penalty * weights
    hessian = np.diag(penalty)
    for rows, y in matrix.read():
        for begin in range(0, len(y), _SLICE_ROWS):
            columns, labels = rows.columns[begin : begin + _SLICE_ROWS], y[begin : begin + _SLICE_ROWS]
            x = np.ones((len(labels), len(weights)))
            x[:, :-1] = columns
            margin = x @ weights
            probability = expit(margin)
            loss += float((np.logaddexp(0, margin) - labels * margin).sum())
            gradient += x.T @ (probability - labels)
            scaled = x * np.sqrt(probability * (1 - probability))[:, None]
            hessian += scaled.T @ scaled
    return _Sums(loss / matrix.rows, gradient / matrix.rows, hessian / matrix.rows)
