"""The schedule of a network's training: its loss, and the number of its batches and epochs. It needs no library of networks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from perennial.train.climb import climb

if TYPE_CHECKING:
    from perennial.models.metrics import Labels
    from perennial.models.scoring import Numbers
    from perennial.train.matrix import Floats
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.target import Target

log = logging.getLogger(__name__)

# On the demo's walk-forward protocol, large batches and few epochs are as good as small batches, and ten times cheaper. On small
# windows they are too few steps: on nine sets of 400 to 7,000 rows, 300 steps were never far from the best, and 1,000 overfit.
_MIN_BATCH, _MAX_BATCH = 32, 512
_BATCHES = 50
_MIN_EPOCHS = 5
MIN_STEPS = 300
_EFFORTS = ((MIN_STEPS, 1.0), (1000, 0.5), (3000, 0.25))
"""Least steps for numbers or several classes, each with the share of dropout and decay that is left."""

_MIN_COMPARED = 20
"""Rows before the window's last dates, and on them, below which nothing is compared."""

Loss = str | float
"""A loss by its name, or the quantile of a pinball loss."""

LOG_LOSS, CLASSES, SQUARED_ERROR = "log_loss", "log_loss of several classes", "squared_error"


def loss_of(target: Target) -> Loss:
    """Return the loss of a target: the log loss, the squared error, or the quantile of a pinball loss."""
    if target.present:
        return CLASSES
    if target.is_classes:
        return LOG_LOSS
    return SQUARED_ERROR if target.quantile is None else target.quantile


def choose_batch(rows: int) -> int:
    """Return the number of rows of a batch: a fiftieth of the window, as a power of two from 32 to 512."""
    power = round(math.log2(max(rows, 1) / _BATCHES))
    return min(max(1 << max(power, 0), _MIN_BATCH), _MAX_BATCH)


def choose_epochs(steps: int, least: int = MIN_STEPS) -> int:
    """Return the number of epochs, each of a number of steps: at least 5, and as many as give the least number of steps."""
    return max(_MIN_EPOCHS, math.ceil(least / steps))


def count_steps(matrix: MatrixFiles, batch: int) -> int:
    """Return the number of batches in an epoch: the last of each bucket may be smaller."""
    return sum(math.ceil(rows / batch) for rows in matrix.bucket_rows)


def choose_effort(
    rows: MatrixFiles, batch: int | None, seed: int, loss: Loss, make: Callable[[int, float], Any]
) -> tuple[int, float]:
    """
    Return the least number of batches, and the share of dropout and decay that is left for more of them.

    It is for numbers and several classes.

    It goes from few batches to more as long as a network that is trained without the window's last dates gains more than a
    standard error on them. A sample of the rows is enough. Where labels are nearly certain, few batches cost a factor of loss.

    :param batch: rows of a batch; None: chosen by the number of rows
    :param make: returns a new network for a number of batches, and a share of dropout and decay
    """
    parts = list(rows.read_some())
    x, y, late = (np.concatenate(values) for values in zip(*((p.rows.as_floats(), p.y, p.late) for p in parts), strict=True))
    if min(late.sum(), (~late).sum()) < _MIN_COMPARED:
        return _EFFORTS[0]
    measure = partial(_late_losses, (x, y, late), batch or choose_batch(int((~late).sum())), seed, loss, make)
    least, share = climb(_EFFORTS, lambda effort: measure(*effort))
    log.info("Network: at least %s batches", least)
    return least, share


def _late_losses(
    some: tuple[Numbers, Labels, NDArray[np.bool_]],
    batch: int,
    seed: int,
    loss: Loss,
    make: Callable[[int, float], Any],
    least: int,
    share: float,
) -> Floats:
    """Return the losses on late rows of a network that is trained on the others."""
    x, y, late = some
    early, labels = x[~late], y[~late].astype(np.float32)
    steps = math.ceil(len(early) / batch)
    epochs = choose_epochs(steps, least)
    model = make(epochs * steps, share)
    for epoch in range(epochs):
        model.epoch(early, labels, np.random.default_rng([seed, epoch]).permutation(len(early)), np.int32(batch))
    answers = np.asarray(model(x[late], training=False)).astype(np.float64)
    if loss == CLASSES:
        return np.asarray(logsumexp(answers, axis=1) - answers[np.arange(len(answers)), y[late]])
    error = y[late] - answers[:, 0]
    losses: Floats = error**2 if isinstance(loss, str) else np.maximum(loss * error, (loss - 1) * error)
    return losses


def train_bucket(model: Any, matrix: MatrixFiles, bucket: int, seed: list[int], batch: int) -> float:
    """Train on the rows of a bucket in a random order, and return the sum of their losses."""
    rows, y, _ = matrix.read_bucket(bucket)
    order = np.random.default_rng(seed).permutation(len(y))
    return float(model.epoch(rows.as_floats(), y.astype(np.float32), order, np.int32(batch)))
