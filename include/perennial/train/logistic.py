"""The candidate `logistic`: logistic regression."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from perennial.train.cells import newton_on_cells
from perennial.train.layers import Layer
from perennial.train.newton import newton

if TYPE_CHECKING:
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles

log = logging.getLogger(__name__)

_C = 0.03
"""Inverse strength of the penalty (scikit-learn's C). It was the best value on the demo's walk-forward protocol."""


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
        weights, passes = (newton_on_cells if matrix.sizes else newton)(matrix, _C)
    log.info("Logistic regression: %s iterations", passes)
    return [Layer(weights[:-1, None].astype(np.float32), weights[-1:].astype(np.float32), "sigmoid")]
