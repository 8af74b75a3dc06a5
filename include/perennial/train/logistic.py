"""The family `logistic`: logistic regression."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from perennial.train.cells import newton_on_cells
from perennial.train.climb import climb
from perennial.train.layers import Network, linear_network
from perennial.train.multinomial import fit_multinomial
from perennial.train.multinomial import late_losses as late_losses_of_classes
from perennial.train.newton import NoSolutionError, late_losses, newton
from perennial.train.preprocess import fit_preprocessing
from perennial.train.views import Dense

if TYPE_CHECKING:
    from perennial.config.candidates import Logistic
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix import Floats
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.window import Window

log = logging.getLogger(__name__)

STRENGTHS = (0.03, 0.3, 3.0, 30.0)
_MIN_OF_CLASS = 10
"""Rows of each class, before the window's last dates and on them, below which nothing is compared."""


def prepare(window: Window, settings: Logistic) -> Dense:
    """Return the dense view of a row. Beside wide categories it has no bins, which would be more cells in many passes."""
    fitted = fit_preprocessing(window, settings.bins)
    return Dense(window.inputs, replace(fitted, edges=[[] for _ in fitted.edges]) if fitted.codes else fitted)


def fit(
    rows: MatrixFiles,
    settings: Logistic,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
) -> Network:
    """
    Fit a logistic regression and return it as one layer.

    It takes a handful of passes over the rows, so it ignores checkpoints and the weights of another training.
    """
    from threadpoolctl import threadpool_limits

    # Threads of BLAS wait for each other in a busy loop: two of them cost more than twice the CPU time of one.
    with threadpool_limits(1, user_api="blas"):
        strengths = choose_strengths(rows) if settings.C is None else [settings.C]
        strength, weights, passes = _fit_first(rows, strengths)
    log.info("Logistic regression: C %g, %s iterations", strength, passes)
    return linear_network(weights)


def choose_strengths(rows: MatrixFiles) -> list[float]:
    """
    Return the inverse strength of the penalty, and those below it, which are for a fit that has no solution at the first.

    It goes from a cautious value to the next as long as a fit without the window's last dates has a solution, and gains more than
    a standard error on them. A sample of the rows is enough. A window of wide categories keeps the cautious value, because its
    fits take many passes over the rows.
    """
    early, late = _count_classes(rows)
    if rows.sizes or min(early[1], late[1]) < _MIN_OF_CLASS:
        return [STRENGTHS[0]]
    fit_early, losses = (fit_multinomial, late_losses_of_classes) if rows.window.target.present else (newton, late_losses)

    def losses_at(strength: float) -> Floats:
        try:
            return losses(rows, fit_early(rows, strength, early=True)[0])
        except NoSolutionError:
            return np.full(1, np.nan)

    chosen = climb(STRENGTHS, losses_at)
    return [strength for strength in reversed(STRENGTHS) if strength <= chosen]


def _fit_first(rows: MatrixFiles, strengths: list[float]) -> tuple[float, Floats, int]:
    """Return the first strength at which a fit has a solution, its weights, and its iterations."""
    for strength in strengths[:-1]:
        with suppress(NoSolutionError):
            return strength, *_solver(rows)(rows, strength)
    return strengths[-1], *_solver(rows)(rows, strengths[-1])


def _solver(rows: MatrixFiles) -> Callable[[MatrixFiles, float], tuple[Floats, int]]:
    """Return the function that fits to all rows at a strength."""
    if rows.window.target.present:
        return fit_multinomial
    return newton_on_cells if rows.sizes else newton


def _count_classes(rows: MatrixFiles) -> tuple[list[int], list[int]]:
    """Return the numbers of rows of the classes of a sample, the largest first: before the window's last dates, and on them."""
    counts = np.zeros((2, max(rows.window.target.outputs, 2)), dtype=np.int64)
    for _, y, late in rows.read_some():
        np.add.at(counts, (late.astype(np.int8), y), 1)
    before, on = (sorted(some, reverse=True) for some in counts.tolist())
    return before, on
