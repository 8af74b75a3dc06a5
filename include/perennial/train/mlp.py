"""The family `mlp`: a Sequential network of dense layers with ReLU and one answer, trained with AdamW."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from perennial.config.candidates import Mlp
from perennial.train.checkpoints import Arrays, Checkpoints
from perennial.train.climb import climb
from perennial.train.coded_dense import coded_dense
from perennial.train.layers import Layer, Network, from_safetensors
from perennial.train.matrix import Floats, Matrix
from perennial.train.preprocess import fit_preprocessing
from perennial.train.views import Dense

if TYPE_CHECKING:  # load_keras imports these after it has set their environment
    import keras
    import tensorflow as tf

    from perennial.models.metrics import Labels
    from perennial.models.scoring import Numbers
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.target import Target
    from perennial.train.window import Window

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

_LOGGED_EPOCHS = 5
# From the weights of the date before, one epoch at a low learning rate is enough (measured on 53 dates of the demo).
_WARM_EPOCHS = 1
_WARM_LEARNING_RATE = 2e-4
_THREADS = 1
"""A second thread does not shorten the training on a month of flights, and costs a fifth more CPU time."""
_MAX_NETWORKS = 8

Loss = str | float
"""A loss by its name, or the quantile of a pinball loss."""

LOG_LOSS, CLASSES, SQUARED_ERROR = "log_loss", "log_loss of several classes", "squared_error"

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


def choose_effort(
    rows: MatrixFiles, batch: int | None, seed: int, loss: Loss, make: Callable[[int, float], keras.Model]
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
    make: Callable[[int, float], keras.Model],
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


def choose_batch(rows: int) -> int:
    """Return the number of rows of a batch: a fiftieth of the window, as a power of two from 32 to 512."""
    power = round(math.log2(max(rows, 1) / _BATCHES))
    return min(max(1 << max(power, 0), _MIN_BATCH), _MAX_BATCH)


def choose_epochs(steps: int, least: int = MIN_STEPS) -> int:
    """Return the number of epochs, each of a number of steps: at least 5, and as many as give the least number of steps."""
    return max(_MIN_EPOCHS, math.ceil(least / steps))


def train_bucket(model: keras.Model, matrix: MatrixFiles, bucket: int, seed: list[int], batch: int) -> float:
    """Train on the rows of a bucket in a random order, and return the sum of their losses."""
    rows, y, _ = matrix.read_bucket(bucket)
    order = np.random.default_rng(seed).permutation(len(y))
    return float(model.epoch(rows.as_floats(), y.astype(np.float32), order, np.int32(batch)))


def count_steps(matrix: MatrixFiles, batch: int) -> int:
    """Return the number of batches in an epoch: the last of each bucket may be smaller."""
    return sum(math.ceil(rows / batch) for rows in matrix.bucket_rows)


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


def loss_of(target: Target) -> Loss:
    """Return the loss of a target: the log loss, the squared error, or the quantile of a pinball loss."""
    if target.present:
        return CLASSES
    if target.is_classes:
        return LOG_LOSS
    return SQUARED_ERROR if target.quantile is None else target.quantile


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


def layers_of(model: keras.Sequential) -> list[Layer]:
    """Return the dense layers of a network up to its margin. Dropout is only for training."""
    *hidden, last = [layer.get_weights() for layer in _dense(model)]
    return [*(Layer(kernel, bias, "relu") for kernel, bias in hidden), Layer(last[0], last[1], None)]


def _dense(model: keras.Sequential) -> list[keras.layers.Dense]:
    return [layer for layer in model.layers if layer.get_weights()]


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
