"""The family `logistic`: logistic regression."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from perennial.train.cells import newton_on_cells
from perennial.train.layers import Network, linear_network
from perennial.train.newton import gain_on_late, newton
from perennial.train.preprocess import fit_preprocessing
from perennial.train.views import Dense

if TYPE_CHECKING:
    from perennial.config.candidates import Logistic
    from perennial.train.checkpoints import Checkpoints
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
        strength = choose_strength(rows) if settings.C is None else settings.C
        weights, passes = (newton_on_cells if rows.sizes else newton)(rows, strength)
    log.info("Logistic regression: C %g, %s iterations", strength, passes)
    return linear_network(weights)


def choose_strength(rows: MatrixFiles) -> float:
    """
    Return the inverse strength of the penalty.

    It goes from a cautious value to the next as long as a fit without the window's last dates gains more than a standard error
    on them. A sample of the rows is enough. A window of wide categories keeps the cautious value, because its fits take many
    passes over the rows.
    """
    at, *others = STRENGTHS
    early, late = _count_classes(rows)
    if rows.sizes or min(*early, *late) < _MIN_OF_CLASS:
        return at
    before, _ = newton(rows, at, early=True)
    for strength in others:
        after, _ = newton(rows, strength, early=True)
        gain, error = gain_on_late(rows, before, after)
        if gain <= error:
            break
        at, before = strength, after
    return at


def _count_classes(rows: MatrixFiles) -> tuple[list[int], list[int]]:
    """Return the number of negative and positive rows of a sample before the window's last dates, and on them."""
    counts = np.zeros(4, dtype=np.int64)
    for _, y, late in rows.read_some():
        counts += np.bincount(2 * late.astype(np.int8) + y, minlength=4)
    return counts[:2].tolist(), counts[2:].tolist()
