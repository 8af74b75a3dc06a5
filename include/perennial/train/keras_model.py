"""A network of Keras that an author built, as a part of a model's graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, load

from perennial.store.scratch import FULL
from perennial.train.author import Author
from perennial.train.author_code import refuse_result
from perennial.train.foreign import cause_of, include_model, refusal
from perennial.train.graph import OPSETS, GraphBuilder
from perennial.train.keras_training import load_keras
from perennial.train.scratch import open_scratch

if TYPE_CHECKING:
    import keras

    from perennial.train.matrix import Floats, Matrix
    from perennial.train.target import Target
    from perennial.train.views import Encoded

_ACTIVATIONS = "Use layers and activations that ONNX has: dense and normalising layers, attention, relu, silu, tanh."
_LAST = "End the network with keras.layers.Dense"
_REMEDIES = {
    "binary": f'{_LAST}(1), or with keras.layers.Dense(1, activation="sigmoid").',
    "multiclass": f'{_LAST}(task.outputs), or with keras.layers.Dense(task.outputs, activation="softmax").',
    "regression": f"{_LAST}(1): it learns labels on both sides of 0, without bounds.",
}
_LINKS = {"binary": "sigmoid", "multiclass": "softmax"}
"""The activation at the end of a network that gives probabilities: it loses digits near 0 and 1, so it is taken off."""


@dataclass(frozen=True, slots=True)
class KerasModel:
    """
    A trained network whose outputs are the margins.

    :param what: its name in errors
    """

    model: keras.Model
    what: str
    weights: None = None

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """Add the nodes that Keras and tf2onnx make of it, and return the margins, [rows, outputs]."""
        return _include(graph, _export(self.model, view.width + len(view.codes), self.what), view.as_floats(graph), self.what)

    def margins(self, rows: Matrix) -> Floats:
        """Return the margins that Keras computes on the CPU: a GPU may round products to fewer digits."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            margins: Floats = self.model(tf.convert_to_tensor(rows.as_floats()), training=False).numpy().astype(np.float64)
        return margins[:, 0] if margins.shape[1] == 1 else margins


def check_graph(model: Any, columns: int, what: str) -> None:
    """
    Refuse a network that cannot become a graph, before the time for its training is spent.

    :param columns: the number of its inputs
    """
    _include(GraphBuilder([], []), _export(model, columns, what), "matrix", what)


def _export(model: Any, columns: int, what: str) -> ModelProto:
    """Return the graph of a network, of any number of rows."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, columns), tf.float32, name="matrix")]
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with (
        open_scratch() as scratch,
        tf.device("CPU:0"),
        warnings.catch_warnings(),
        _without_activity_losses(model),
    ):
        warnings.simplefilter("ignore")
        path = scratch.folder / "model.onnx"
        try:
            model.export(path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSETS[""])
        except Exception as error:  # Keras and tf2onnx have no class for the failures of layers
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise refusal(what, [cause_of(error)], _ACTIVATIONS) from error
        return load(path)


def _include(graph: GraphBuilder, exported: ModelProto, matrix: str, what: str) -> str:
    return include_model(graph, exported, exported.graph.output[0].name, matrix, what, _ACTIVATIONS)


@contextmanager
def _without_activity_losses(model: Any) -> Iterator[None]:
    """Take off the losses that layers compute from their outputs: tf2onnx cannot convert them, and answers have none."""
    regularizers = [(layer, layer.activity_regularizer) for layer in model._flatten_layers()]
    for layer, _ in regularizers:
        layer.activity_regularizer = None
    try:
        yield
    finally:
        for layer, regularizer in regularizers:
            layer.activity_regularizer = regularizer


def as_margin(model: Any, columns: int, target: Target, author: Author, function: str) -> keras.Model:
    """
    Return a network whose outputs are the margins.

    For classes a sigmoid or a softmax at its end is taken off. Any other activation is refused: the labels of a regression are
    scaled, so a bound, also that of relu at 0, would cut its answers off.

    :param columns: the number of its inputs
    """
    keras = load_keras()
    task = target.label.task
    remedy = _REMEDIES[task]
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, columns))
    if not isinstance(model, keras.Model) or not hasattr(model, "outputs"):  # a subclass of Model has none
        raise refuse_result(
            author,
            function,
            f"{type(model).__name__}, expected a network of Keras, Sequential or with the functional API",
            remedy,
        )
    # A network that its author has trained may name the rows of a batch.
    inputs, outputs = ([tuple(value.shape[1:]) for value in values] for values in (model.inputs, model.outputs))
    if inputs != [(columns,)]:
        raise refuse_result(
            author, function, f"a network with inputs {inputs}, expected [({columns},)]", "Use the number of columns."
        )
    if outputs != [(target.outputs,)]:
        raise refuse_result(author, function, f"a network with outputs {outputs}, expected [({target.outputs},)]", remedy)
    if (number := model.outputs[0].dtype) != "float32":
        advice = "Leave the precision of Keras as it is: call neither set_dtype_policy nor set_floatx."
        raise refuse_result(author, function, f"a network that answers in {number}, expected float32", advice)
    last = _last_layer(model)
    if len(last._inbound_nodes) > 1:
        raise refuse_result(author, function, f"a network that uses its last layer, {last.name}, more than once", remedy)
    activation = getattr(last, "activation", None)
    if task in _LINKS and activation is getattr(keras.activations, _LINKS[task]):
        last.activation = keras.activations.linear
    elif activation is not keras.activations.linear:
        name = getattr(activation, "__name__", "none")
        raise refuse_result(author, function, f"a network that ends with {type(last).__name__} and the activation {name}", remedy)
    return model


def _last_layer(model: Any) -> Any:
    """Return the layer that computes the output of a network, also if the network ends with another network."""
    keras = load_keras()
    last = model.outputs[0]._keras_history.operation
    return _last_layer(last) if isinstance(last, keras.Model) else last
