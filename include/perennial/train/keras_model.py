"""A network of Keras that an author built, as a part of a model's graph."""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import load

from perennial.errors import RefusedError
from perennial.store.scratch import scratch_folder
from perennial.train.author import Author
from perennial.train.author_code import refuse_result
from perennial.train.graph import OPSETS, GraphBuilder
from perennial.train.mlp import load_keras

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
        import tensorflow as tf

        from perennial.train.foreign import include_model

        signature = [tf.TensorSpec((None, view.width + len(view.codes)), tf.float32, name="matrix")]
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        for layer in self.model._flatten_layers():
            layer.activity_regularizer = None  # a loss, which tf2onnx cannot convert
        with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder, tf.device("CPU:0"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder) / "model.onnx"
            try:
                self.model.export(path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSETS[""])
            except Exception as error:  # Keras and tf2onnx have no class for the failures of layers
                cause = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
                raise RefusedError(f"{self.what} cannot become a graph", [cause], _ACTIVATIONS) from error
            exported = load(path)
        matrix = view.as_floats(graph)
        return include_model(graph, exported, exported.graph.output[0].name, matrix, self.what, _ACTIVATIONS)

    def margins(self, rows: Matrix) -> Floats:
        """Return the margins that Keras computes on the CPU: a GPU may round products to fewer digits."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            margins: Floats = self.model(tf.convert_to_tensor(rows.as_floats()), training=False).numpy().astype(np.float64)
        return margins[:, 0] if margins.shape[1] == 1 else margins


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
    last = _last_layer(model)
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
