"""Newton's method for a logistic regression on rows that are read bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perennial.errors import RefusedError
from perennial.models.metrics import Labels
from perennial.train.matrix import Floats

if TYPE_CHECKING:
    from perennial.train.matrix_files import MatrixFiles

_TOLERANCE = 1e-4
_MAX_STEPS = 100
_MAX_HALVINGS = 20
_ARMIJO = 2.0**-11
_EPSILON = 16 * float(np.finfo(np.float64).eps)


class NoSolutionError(RefusedError):
    """A fit whose classes are so certain that its weights grow without an end."""

    def __init__(self, effort: str, strength: float, gradient: float, cause: str = "") -> None:
        """Name the passes or steps, the inverse strength of the penalty, and the largest part of the gradient that is left."""
        super().__init__(
            f"Logistic regression: no solution after {effort} with C {strength:g}, gradient {gradient:.2g}{cause}",
            remedy="The classes are nearly certain: lower C, or leave the input out that tells them.",
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """The objective (mean loss and penalty) at some weights, with its first and second derivatives."""

    loss: float
    gradient: Floats
    hessian: Floats


def newton(matrix: MatrixFiles, strength: float, *, early: bool = False) -> tuple[Floats, int]:
    """
    Return the weights [columns + 1], the intercept last, and the number of steps.

    The objective, the steps, the line search and the rule to stop are those of scikit-learn's solver "newton-cholesky", so that
    it gives the same weights as 32-bit floats. It needs memory for one bucket and for columns squared; the sums are added in the
    order of the rows, so that they have the same bits in each run.

    :param strength: the inverse strength of the penalty, scikit-learn's C; the intercept is not penalised
    :param early: use some rows only, without those of the window's last dates
    """
    from scipy.linalg import solve

    weights = np.zeros(matrix.columns + 1)
    rows = _Rows(matrix, early=early)
    at = rows.sum(weights, strength)
    for step in range(1, _MAX_STEPS + 1):
        direction = solve(at.hessian, -at.gradient, assume_a="sym", check_finite=False)
        weights, reached = _search(rows, weights, at, direction, strength)
        decrement = 0.5 * float(direction @ at.hessian @ direction)
        at = reached
        if np.abs(at.gradient).max() <= _TOLERANCE and decrement <= _TOLERANCE:
            return weights, step
    raise NoSolutionError(f"{_MAX_STEPS} steps", strength, float(np.abs(at.gradient).max()))


def _search(rows: _Rows, weights: Floats, at: _Sums, direction: Floats, strength: float) -> tuple[Floats, _Sums]:
    """Return the weights along a direction at which the objective is low enough: the whole step, or a half of it, and so on."""
    slope = _ARMIJO * float(at.gradient @ direction)
    size = 1.0
    for _ in range(_MAX_HALVINGS + 1):
        moved = weights + size * direction
        reached = rows.sum(moved, strength)
        gain = reached.loss - at.loss
        is_flat = abs(gain) <= abs(at.loss * _EPSILON) and np.abs(reached.gradient).sum() < np.abs(at.gradient).sum()
        if gain <= size * slope or is_flat:
            return moved, reached
        size /= 2
    raise NoSolutionError("halving a step", strength, float(np.abs(at.gradient).max()), f", loss {at.loss:.6g}")


@dataclass(frozen=True, slots=True)
class _Rows:
    """
    The rows that a regression is fitted to.

    :param early: only some, without those of the window's last dates
    """

    matrix: MatrixFiles
    early: bool

    def sum(self, weights: Floats, strength: float) -> _Sums:
        """Return the objective at some weights."""
        penalty = np.append(np.full(len(weights) - 1, 1.0), 0.0) / strength
        loss = float(penalty @ weights**2) / 2
        gradient = penalty * weights
        hessian = np.diag(penalty)
        count = 0
        for x, labels in _slices(self.matrix, early=self.early):
            margin = x @ weights
            probability = _expit(margin)
            loss += float((np.logaddexp(0, margin) - labels * margin).sum())
            gradient += x.T @ (probability - labels)
            scaled = x * np.sqrt(probability * (1 - probability))[:, None]
            hessian += scaled.T @ scaled
            count += len(labels)
        return _Sums(loss / count, gradient / count, hessian / count)


def late_losses(matrix: MatrixFiles, weights: Floats) -> Floats:
    """Return the losses of some late rows."""
    margins = [(x @ weights, labels) for x, labels in _slices(matrix, late=True)]
    return np.concatenate([np.logaddexp(0, margin) - labels * margin for margin, labels in margins])


def _slices(matrix: MatrixFiles, *, early: bool = False, late: bool = False) -> Iterator[tuple[Floats, Labels]]:
    """Yield [rows, columns + 1], the last column of ones, and labels: of all rows, or of some."""
    for rows, y, is_late in matrix.read_some() if early or late else matrix.read():
        chosen = is_late if late else ~is_late if early else slice(None)
        columns, labels = rows.columns[chosen], y[chosen]
        x = np.ones((len(labels), matrix.columns + 1))
        x[:, :-1] = columns
        yield x, labels


def _expit(margin: Floats) -> Floats:
    from scipy.special import expit

    probability: Floats = expit(margin)
    return probability
