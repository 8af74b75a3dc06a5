"""The candidate `mlp`: a Sequential network of 128, 64 and 32 units with ReLU and one sigmoid, trained by AdamW."""

from __future__ import annotations

import logging
import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from perennial.lake.scoring import Numbers
from perennial.train.checkpoints import Checkpoints
from perennial.train.layers import Layer

log = logging.getLogger(__name__)

_UNITS = (128, 64, 32)
_DROPOUT = 0.2
# Measured on the demo's walk-forward protocol: large batches and few epochs are as good as small ones, and ten times cheaper.
_BATCH = 512
_EPOCHS = 5
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.3
_STEPS_PER_EXECUTION = 16
_THREADS = 2


def fit(matrix: Numbers, y: np.ndarray[Any, Any], seed: int, checkpoints: Checkpoints | None = None) -> list[Layer]:
    """
    Train the network and return its layers; the same rows and seed give the same bits on one build and CPU family.

    That holds for a training that goes on from a checkpoint too: an epoch's order of rows is drawn from the seed and the epoch
    alone, and all else that changes (weights, the optimizer's moments, the state of dropout) is in the checkpoint.
    """
    keras = load_keras()
    # Python collects what it leaves in its own time: to look for it at once costs an eighth of a training.
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    model = build(matrix.shape[1], rows=len(matrix))
    target = y.astype(np.float32)
    first = _go_on(model, checkpoints)
    for epoch in range(first, _EPOCHS):
        order = np.random.default_rng([seed, epoch]).permutation(len(target))
        done = model.fit(
            matrix[order], target[order], batch_size=_BATCH, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=0
        )
        log.info("epoch %s/%s: loss %.4f", epoch + 1, _EPOCHS, done.history["loss"][0])
        if checkpoints is not None:
            checkpoints.save(epoch + 1, {name: keras.ops.convert_to_numpy(one) for name, one in _state(model).items()})
    return layers_of(model)


def _go_on(model: Any, checkpoints: Checkpoints | None) -> int:
    """Bring the model to its last checkpoint; return how many epochs are done."""
    model.optimizer.build(model.trainable_variables)
    found = checkpoints.load() if checkpoints is not None else None
    if found is None:
        return 0
    epochs, arrays = found
    for name, variable in _state(model).items():
        variable.assign(arrays[name])
    return epochs


def _state(model: Any) -> dict[str, Any]:
    """Return everything that training changes, by its place: the seeds of dropout are among the model's variables."""
    return {str(place): variable for place, variable in enumerate([*model.variables, *model.optimizer.variables])}


def build(columns: int, rows: int) -> Any:
    """Return the compiled network; the learning rate falls along a cosine over all steps of `rows` rows."""
    keras = load_keras()
    dense = keras.layers.Dense
    hidden = [layer for units in _UNITS for layer in (dense(units, activation="relu"), keras.layers.Dropout(_DROPOUT))]
    model = keras.Sequential([keras.Input((columns,)), *hidden, dense(1, activation="sigmoid")])
    steps = _EPOCHS * math.ceil(rows / _BATCH)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps), weight_decay=_WEIGHT_DECAY
        ),
        loss="binary_crossentropy",
        steps_per_execution=_STEPS_PER_EXECUTION,
    )
    return model


def layers_of(model: Any) -> list[Layer]:
    """Return the dense layers of a network; dropout is for training only."""
    dense = [layer for layer in model.layers if layer.get_weights()]
    weights = [(*layer.get_weights(), layer.activation.__name__) for layer in dense]
    return [Layer(kernel, bias, activation) for kernel, bias, activation in weights]


@cache
def load_keras() -> Any:
    """Import Keras on TensorFlow, quietly and with a fixed number of threads; this must be the process's first import of it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if not Path("/dev/nvidiactl").exists():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS)
    import keras

    return keras
