"""Keras on TensorFlow, set up for trainings: one thread, an epoch in one call, losses and a learning rate."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.train.schedule import CLASSES, LOG_LOSS, Loss

if TYPE_CHECKING:  # load_keras imports these after it has set their environment
    import keras
    import tensorflow as tf

_THREADS = 1
"""A second thread does not shorten the training on a month of flights, and costs a fifth more CPU time."""


@cache
def load_keras() -> ModuleType:
    """
    Import Keras on TensorFlow, without its log lines and with a fixed number of threads.

    It must be the first import of Keras in the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if not Path("/dev/nvidiactl").exists():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS)
    import keras

    module: ModuleType = keras
    return module


def make_epoch(
    model: keras.Model, columns: int, measure: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor, tf.Tensor, NDArray[np.int64], np.int32], tf.Tensor]:
    """
    Return a function that trains on rows in a given order and returns the sum of their losses, in one call into TensorFlow.

    Its last argument is the number of rows of a batch.

    Each batch picks its rows: rows in the order of an epoch would be a second copy of the window.

    Keras' own fit builds a data set and callbacks for each epoch, which costs as much as an epoch on a month of flights.

    :param measure: the mean loss of some labels and outputs of the model
    """
    import tensorflow as tf

    matrix, labels = tf.TensorSpec((None, columns), tf.float32), tf.TensorSpec((None,), tf.float32)

    @tf.function(input_signature=[matrix, labels, tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int32)])  # type: ignore[untyped-decorator, unused-ignore]
    def epoch(x: tf.Tensor, y: tf.Tensor, order: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(x)[0]
        total = 0.0
        for begin in tf.range(0, rows, batch):
            places = order[begin : begin + batch]
            chosen, targets = tf.gather(x, places), tf.gather(y, places)
            with tf.GradientTape() as tape:
                loss = measure(targets, _flat(model(chosen, training=True)))
            model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += loss * tf.cast(tf.shape(targets)[0], tf.float32)
        return total

    traced: Callable[[tf.Tensor, tf.Tensor, NDArray[np.int64], np.int32], tf.Tensor] = epoch
    return traced


def _flat(answers: tf.Tensor) -> tf.Tensor:
    """Return the answers of a model with one output as [rows]."""
    return answers[:, 0] if answers.shape[1] == 1 else answers


def mean_loss(loss: Loss, targets: tf.Tensor, answers: tf.Tensor, *, from_logits: bool = False) -> tf.Tensor:
    """
    Return the mean loss of a batch.

    :param answers: [rows], or of several classes the margins, [rows, classes]
    :param from_logits: for the log loss, the answers are margins, and not probabilities
    """
    import tensorflow as tf

    if loss == CLASSES:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(targets, tf.int32), answers))
    if loss == LOG_LOSS:
        return load_keras().losses.binary_crossentropy(targets, answers, from_logits=from_logits)
    error = targets - answers
    if isinstance(loss, str):
        return tf.reduce_mean(tf.square(error))
    return tf.reduce_mean(tf.maximum(loss * error, (loss - 1) * error))


@cache
def cosine() -> type[keras.optimizers.schedules.LearningRateSchedule]:
    """
    Return the class of the learning rate's schedule.

    Keras' own cosine is traced for one number of steps, but that number differs by date.
    """
    keras = load_keras()

    class Cosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc, name-defined]
        def __init__(self, steps: int, peak: float) -> None:
            super().__init__()
            self.peak = keras.Variable(peak, trainable=False, name="peak")
            self.steps = keras.Variable(float(steps), trainable=False, name="steps")

        def __call__(self, step: tf.Tensor) -> tf.Tensor:
            done = keras.ops.minimum(keras.ops.cast(step, "float32") / self.steps, 1.0)
            return 0.5 * self.peak * (1.0 + keras.ops.cos(math.pi * done))

    return Cosine
