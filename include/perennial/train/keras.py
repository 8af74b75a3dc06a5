"""The family `keras`: a network of Keras that `build(columns, task)` of the pipeline's `candidates/<name>.py` returns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.train.author import Author
from perennial.train.author_code import Task, call
from perennial.train.keras_model import KerasModel, as_margin
from perennial.train.mlp import choose_batch, choose_epochs, cosine, count_steps, load_keras, make_epoch, train_bucket
from perennial.train.preprocess import fit_preprocessing
from perennial.train.views import Dense

if TYPE_CHECKING:
    from perennial.config.candidates import Keras
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.window import Window

log = logging.getLogger(__name__)


def prepare(window: Window, settings: Keras) -> Dense:
    """Return the dense view of a row."""
    return Dense(window.inputs, fit_preprocessing(window))


def fit(
    rows: MatrixFiles,
    settings: Keras,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
    author: Author | None = None,
) -> KerasModel:
    """
    Train the author's network with Adam, by the rule of batches and epochs of `mlp`, bucket by bucket.

    It ignores checkpoints and the weights of another training.
    """
    if author is None:
        raise ValueError("a network needs its author's file")
    keras = load_keras()
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    columns = len(rows.names)
    model: Any = as_margin(call(author, "build", rows.names, Task()), columns, author, "build")
    batch = settings.batch or choose_batch(rows.rows)
    steps = count_steps(rows, batch)
    epochs = settings.epochs or choose_epochs(steps)
    model.optimizer = keras.optimizers.Adam(cosine()(epochs * steps, settings.learning_rate))
    model.optimizer.build(model.trainable_variables)

    def measure(targets: Any, margins: Any) -> Any:
        return keras.losses.binary_crossentropy(targets, margins, from_logits=True) + sum(model.losses)

    model.epoch = make_epoch(model, columns, measure)
    loss = 0.0
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(rows.bucket_rows)).tolist()
        loss = sum(train_bucket(model, rows, bucket, [seed, epoch, bucket], batch) for bucket in order) / rows.rows
    log.info("%s: %s epochs, loss %.4f", author.file, epochs, loss)
    return KerasModel(model, author.file)
