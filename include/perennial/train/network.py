"""The training of a network that an author's file builds, of any library: batches, epochs and their random orders."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from perennial.errors import RefusedError
from perennial.train.author import Author
from perennial.train.author_code import failures_of
from perennial.train.schedule import (
    LOG_LOSS,
    MIN_STEPS,
    choose_batch,
    choose_effort,
    choose_epochs,
    count_steps,
    loss_of,
    train_bucket,
)

if TYPE_CHECKING:
    from perennial.config.candidates import Network
    from perennial.train.matrix_files import MatrixFiles

AnyNetwork = TypeVar("AnyNetwork", bound="Network")

log = logging.getLogger(__name__)


def shortest(settings: AnyNetwork) -> AnyNetwork:
    """Return settings for the shortest training that runs the same code."""
    return settings.model_copy(update={"epochs": 1})


def train_network(rows: MatrixFiles, settings: Network, seed: int, author: Author, make: Callable[[int, float], Any]) -> Any:
    """
    Return a network that is trained by the rule of batches and epochs of `mlp`, bucket by bucket.

    :param make: returns a new network for a number of batches, and a share of dropout and decay. It is called, and trained by
        its method `epoch`, as the networks of `mlp` are
    :raises RefusedError: the loss is not a finite number
    """
    batch, loss = settings.batch or choose_batch(rows.rows), loss_of(rows.window.target)
    steps, least = count_steps(rows, batch), MIN_STEPS
    if loss != LOG_LOSS and settings.epochs is None:
        least, _ = choose_effort(rows, settings.batch, seed, loss, make)
    epochs = settings.epochs or choose_epochs(steps, least)
    model = make(epochs * steps, 1.0)
    total = 0.0
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(rows.bucket_rows)).tolist()
        with failures_of(author):
            total = sum(train_bucket(model, rows, bucket, [seed, epoch, bucket], batch) for bucket in order) / rows.rows
        if not math.isfinite(total):
            raise RefusedError(
                f"{author.file}: the loss of epoch {epoch + 1} of {epochs} is {total}",
                remedy=f"Lower learning_rate, which is {settings.learning_rate:g}, or normalise the layers of the network.",
            )
    log.info("%s: %s epochs, loss %.4f", author.file, epochs, total)
    return model
