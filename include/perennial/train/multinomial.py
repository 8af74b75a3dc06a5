"""Logistic regression of several classes on rows that are read bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from perennial.train.layers import add_up, linear_network
from perennial.train.matrix import Floats
from perennial.train.newton import NoSolutionError

if TYPE_CHECKING:
    from perennial.train.matrix_files import MatrixFiles, Part

_MAX_PASSES, _MAX_EARLY_PASSES = 1000, 200
_GRADIENT = 1e-6
"""Largest part of the gradient at the solution, in the coordinates of `_Scale`: its square is about the loss left to gain."""

_CURVATURE = 0.25
"""Upper bound of the second derivative of a row's loss by one of its margins."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """
    Coordinates in which the loss has about the same curvature in all directions, so that few passes find its minimum.

    Correlated columns, such as the bins of one amount, would take a thousand passes otherwise.

    :param triangle: [columns + 1, columns + 1], the Cholesky factor of their squares and penalty, the column of ones last
    :param codes: [classes of the codes], the same for each of them alone
    """

    triangle: Floats
    codes: Floats

    @classmethod
    def of(cls, rows: MatrixFiles, strength: float, *, early: bool) -> _Scale:
        """Return the scale of some rows, from one pass over them."""
        width = rows.columns + 1
        squares, counts, count = np.zeros((width, width)), np.zeros(sum(rows.sizes)), 0
        for part in _some(rows, early=early):
            x = np.hstack([part.rows.columns.astype(np.float64), np.ones((len(part.y), 1))])
            squares += x.T @ x
            sums = add_up(part.rows, np.ones(len(part.y)))
            counts += sums[rows.columns : -1]
            count += len(part.y)
        penalty = np.append(np.full(rows.columns, 1 / strength), 0.0)
        triangle = np.linalg.cholesky((_CURVATURE * squares + np.diag(penalty)) / count)
        return cls(np.asarray(triangle, dtype=np.float64), np.sqrt((_CURVATURE * counts + 1 / strength) / count))

    def to_weights(self, scaled: Floats) -> Floats:
        """Return the weights [columns, classes of the codes, intercept] at some coordinates."""
        from scipy.linalg import solve_triangular

        columns = solve_triangular(self.triangle.T, np.vstack([scaled[: self._columns], scaled[-1:]]), lower=False)
        return np.vstack([columns[:-1], scaled[self._columns : -1] / self.codes[:, None], columns[-1:]])

    def to_gradient(self, gradient: Floats) -> Floats:
        """Return the gradient by the coordinates from that by the weights."""
        from scipy.linalg import solve_triangular

        columns = solve_triangular(self.triangle, np.vstack([gradient[: self._columns], gradient[-1:]]), lower=True)
        return np.vstack([columns[:-1], gradient[self._columns : -1] / self.codes[:, None], columns[-1:]])

    @property
    def _columns(self) -> int:
        return len(self.triangle) - 1


@dataclass(frozen=True, slots=True)
class _Objective:
    """
    The mean loss and penalty of weights [inputs, classes], and its gradient: the objective of scikit-learn's LogisticRegression.

    :param strength: the inverse strength of the penalty, scikit-learn's C; the intercepts, in the last row, are not penalised
    :param early: use some rows only, without those of the window's last dates
    """

    rows: MatrixFiles
    strength: float
    early: bool
    scale: _Scale

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.columns + sum(self.rows.sizes) + 1, self.rows.window.target.outputs

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        weights = self.scale.to_weights(flat.reshape(self.shape))
        penalty = np.full((len(weights), 1), 1 / self.strength)
        penalty[-1] = 0
        loss, count = float((penalty * weights**2).sum()) / 2, 0
        gradient, network = penalty * weights, linear_network(weights)
        for part in _some(self.rows, early=self.early):
            margins = network.margins(part.rows)
            logs = margins - logsumexp(margins, axis=1, keepdims=True)
            own = np.arange(len(part.y)), part.y
            loss -= float(logs[own].sum())
            errors = np.exp(logs)
            errors[own] -= 1
            gradient += add_up(part.rows, errors)
            count += len(part.y)
        return loss / count, self.scale.to_gradient(gradient / count).ravel()


def fit_multinomial(rows: MatrixFiles, strength: float, *, early: bool = False) -> tuple[Floats, int]:
    """
    Return the weights [inputs + 1, classes], the intercepts last, and the number of passes over the rows.

    It minimises with L-BFGS of SciPy. Newton's method would need the square of all weights. Sums are added in the order of the
    rows, so that they have the same bits in each run.
    """
    from scipy.optimize import minimize

    objective = _Objective(rows, strength, early, _Scale.of(rows, strength, early=early))
    passes = _MAX_EARLY_PASSES if early else _MAX_PASSES
    options = {"maxiter": passes, "maxfun": passes, "gtol": _GRADIENT, "ftol": 0.0}
    found = minimize(objective, np.zeros(np.prod(objective.shape)), jac=True, method="L-BFGS-B", options=options)
    largest = float(np.abs(found.jac).max())
    # At a flat place rounding lets no step lower the loss further.
    if largest > 100 * _GRADIENT:
        raise NoSolutionError(f"{found.nfev} passes", strength, largest, f": {found.message}")
    return objective.scale.to_weights(found.x.reshape(objective.shape)), found.nfev


def late_losses(rows: MatrixFiles, weights: Floats) -> Floats:
    """Return the losses of some late rows."""
    found, network = [], linear_network(weights)
    for part in _some(rows, late=True):
        margins = network.margins(part.rows)
        found.append(logsumexp(margins, axis=1) - margins[np.arange(len(part.y)), part.y])
    return np.concatenate(found)


def _some(rows: MatrixFiles, *, early: bool = False, late: bool = False) -> Iterator[Part]:
    """Yield all rows, or those of a sample that are, or are not, of the window's last dates."""
    for part in rows.read_some() if early or late else rows.read():
        yield part.where(part.late) if late else part.where(~part.late) if early else part
