"""The family `mlp`: a Sequential network of dense layers with ReLU and one answer, trained with AdamW."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.config.candidates import Mlp
from perennial.train.checkpoints import Arrays, Checkpoints
from perennial.train.coded_dense import coded_dense
from perennial.train.keras_training import cosine, load_keras, make_epoch, mean_loss
from perennial.train.layers import Layer, Network, from_safetensors
from perennial.train.matrix import Floats, Matrix
from perennial.train.preprocess import fit_preprocessing
from perennial.train.schedule import (
    LOG_LOSS,
    MIN_STEPS,
    Loss,
    choose_batch,
    choose_effort,
    choose_epochs,
    count_steps,
    loss_of,
    train_bucket,
)
from perennial.train.views import Dense

if TYPE_CHECKING:  # load_keras imports these after it has set their environment
    import keras

    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.window import Window

log = logging.getLogger(__name__)

_LOGGED_EPOCHS = 5
# From the weights of the date before, one epoch at a low learning rate is enough (measured on 53 dates of the demo).
_WARM_EPOCHS = 1
_WARM_LEARNING_RATE = 2e-4
_MAX_NETWORKS = 8

_Shape = tuple[int, tuple[int, ...], tuple[int, ...], float, float, object, int]
"""
The number of inputs, the number of classes of each of the last of them, which are codes, and what else the network is built by.

That is the units of each layer, the dropout, the weight decay, the loss and the number of outputs.
"""

_networks: dict[_Shape, keras.Sequential] = {}
"""Traced networks by shape, which changes between dates only when a category appears or disappears."""


def prepare(window: Window, settings: Mlp) -> Dense:
    """Return the dense view of a row."""
    return Dense(window.inputs, fit_preprocessing(window))


def fit(
    rows: MatrixFiles,
    settings: Mlp,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
) -> Network:
    """
    Train the network. The same rows, settings and seed give the same bits on one build and CPU family.

    This also holds for a training that resumes from a checkpoint. The order of buckets in an epoch, and of rows in a bucket, is
    drawn from the seed and their numbers alone. All other state (weights, the optimizer's moments, the state of dropout) is in
    the checkpoint.

    :param begin: weights of a training with the same columns; they are trained for one more epoch
    """
    batch, loss = settings.batch or choose_batch(rows.rows), loss_of(rows.window.target)
    steps, least = count_steps(rows, batch), MIN_STEPS
    if loss != LOG_LOSS and settings.epochs is None and begin is None:
        make = partial(_make_relaxed, rows, settings, loss, seed)
        least, share = choose_effort(rows, settings.batch, seed, loss, make)
        settings = _relax(settings, share)
    epochs, rate = settings.epochs or choose_epochs(steps, least), settings.learning_rate
    if begin is not None:
        epochs, rate = _WARM_EPOCHS, _WARM_LEARNING_RATE
    model = _make(rows, settings, epochs * steps, rate, loss, seed)
    if begin is not None:
        for layer, weights in zip(_dense(model), from_safetensors(begin), strict=True):
            layer.set_weights([weights.kernel, weights.bias])
    buckets = len(rows.bucket_rows)
    done = _resume(model, checkpoints)
    for epoch in range(done // buckets, epochs):
        order = np.random.default_rng([seed, epoch]).permutation(buckets).tolist()[done - epoch * buckets :]
        total = 0.0
        for bucket in order:
            total += train_bucket(model, rows, bucket, [seed, epoch, bucket], batch)
            done += 1
            if checkpoints is not None:
                checkpoints.save(done, lambda: _arrays(model))
        if epoch + 1 == epochs or (epoch + 1) % math.ceil(epochs / _LOGGED_EPOCHS) == 0:
            loss = total / sum(rows.bucket_rows[bucket] for bucket in order)
            log.info("epoch %s/%s: loss %.4f", epoch + 1, epochs, loss)
    return Network(layers_of(model), lambda some: _margins(model, some))


def _make(rows: MatrixFiles, settings: Mlp, steps: int, rate: float, loss: Loss, seed: int) -> keras.Sequential:
    """Return a network with weights drawn from the seed. The arguments are those of `build`."""
    keras = load_keras()
    # Leave the garbage to Python: collecting it at once costs an eighth of a training.
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    inputs, outputs = rows.columns + len(rows.sizes), rows.window.target.outputs
    shape = (inputs, rows.sizes, tuple(settings.units), settings.dropout, settings.weight_decay, loss, outputs)
    return _reuse_traced(build(inputs, rows.sizes, settings, steps, rate, loss, outputs), shape)


def _make_relaxed(rows: MatrixFiles, settings: Mlp, loss: Loss, seed: int, steps: int, share: float) -> keras.Sequential:
    """Return a network with a share of the dropout and decay."""
    return _make(rows, _relax(settings, share), steps, settings.learning_rate, loss, seed)


def _relax(settings: Mlp, share: float) -> Mlp:
    return settings.model_copy(update={"dropout": settings.dropout * share, "weight_decay": settings.weight_decay * share})


def _margins(model: keras.Sequential, rows: Matrix) -> Floats:
    """Return the margins that Keras computes on the CPU: a GPU may round products to fewer digits."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        value = tf.convert_to_tensor(rows.as_floats())
        for layer in model.layers[:-1]:
            value = layer(value, training=False)
        kernel, bias = model.layers[-1].get_weights()
        margins: Floats = (tf.matmul(value, kernel) + bias).numpy().astype(np.float64)
    return margins[:, 0] if margins.shape[1] == 1 else margins


def _resume(model: keras.Sequential, checkpoints: Checkpoints | None) -> int:
    """Restore the model from its last checkpoint and return the number of buckets that it was trained on."""
    checkpoint = checkpoints.load() if checkpoints is not None else None
    if checkpoint is None:
        return 0
    done, arrays = checkpoint
    for name, variable in _state(model).items():
        variable.assign(arrays[name])
    return done


def _arrays(model: keras.Sequential) -> Arrays:
    keras = load_keras()
    return {name: keras.ops.convert_to_numpy(value) for name, value in _state(model).items()}


def _state(model: keras.Sequential) -> dict[str, keras.Variable]:
    """
    Return everything in which two trainings of one shape differ, by position.

    The seeds of dropout are among the model's variables.
    """
    changing = [*model.variables, *model.optimizer.variables, model.schedule.steps, model.schedule.peak]
    return {str(place): variable for place, variable in enumerate(changing)}


def _reuse_traced(fresh: keras.Sequential, shape: _Shape) -> keras.Sequential:
    """
    Return a network in the state of `fresh` that an earlier training of this process has traced, or `fresh` itself.

    Tracing a training step takes a third of the time it takes to train on a month of flights, so networks are reused.
    """
    model = _networks.setdefault(shape, fresh)
    if model is not fresh:
        for variable, begin in zip(_state(model).values(), _state(fresh).values(), strict=True):
            variable.assign(begin)
    while len(_networks) > _MAX_NETWORKS:
        _networks.pop(next(iter(_networks)))
    return model


def build(
    columns: int,
    sizes: tuple[int, ...],
    settings: Mlp,
    steps: int,
    rate: float,
    loss: Loss = LOG_LOSS,
    outputs: int = 1,
) -> keras.Sequential:
    """
    Build the network with its optimizer. The learning rate falls from `rate` along a cosine over all `steps`.

    :param columns: the number of inputs; the last are codes
    :param sizes: the number of classes of each code
    """
    keras = load_keras()
    dense = keras.layers.Dense
    hidden: list[Any] = []
    for units in settings.units:
        is_coded = bool(sizes) and not hidden
        layer = coded_dense(keras)(units, sizes, activation="relu") if is_coded else dense(units, activation="relu")
        hidden += [layer, keras.layers.Dropout(settings.dropout)]
    model = keras.Sequential(
        [keras.Input((columns,)), *hidden, dense(outputs, activation="sigmoid" if loss == LOG_LOSS else None)]
    )
    model.schedule = cosine()(steps, rate)
    model.optimizer = keras.optimizers.AdamW(model.schedule, weight_decay=settings.weight_decay)
    model.optimizer.build(model.trainable_variables)
    model.epoch = make_epoch(model, columns, partial(mean_loss, loss))
    return model


def layers_of(model: keras.Sequential) -> list[Layer]:
    """Return the dense layers of a network up to its margin. Dropout is only for training."""
    *hidden, last = [layer.get_weights() for layer in _dense(model)]
    return [*(Layer(kernel, bias, "relu") for kernel, bias in hidden), Layer(last[0], last[1], None)]


def _dense(model: keras.Sequential) -> list[keras.layers.Dense]:
    return [layer for layer in model.layers if layer.get_weights()]
