"""A trained model: one graph from raw inputs to probability, and its weights."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.lake.scoring import to_arrays
from perennial.pipeline import Inputs
from perennial.train.candidates import fit_candidate
from perennial.train.checkpoints import Checkpoints
from perennial.train.graph import GraphBuilder
from perennial.train.layers import Layer, add_layers, to_safetensors
from perennial.train.prepare import Rows
from perennial.train.preprocess import Preprocessing, add_preprocessing, fit_preprocessing, matrix_of


@dataclass(frozen=True, slots=True)
class Model:
    """The files of a model, as bytes."""

    onnx: bytes
    safetensors: bytes


def train_model(candidate: str, inputs: Inputs, window: Rows, seed: int, checkpoints: Checkpoints | None = None) -> Model:
    """Fit preprocessing and candidate on the window and return the model; a long training goes on from its last checkpoint."""
    numbers, texts = to_arrays(window.table, inputs)
    fitted = fit_preprocessing(inputs, numbers, texts)
    layers = fit_candidate(candidate, matrix_of(inputs, fitted, numbers, texts), window.y, seed, checkpoints)
    return Model(export(inputs, fitted, layers), to_safetensors(layers))


def export(inputs: Inputs, fitted: Preprocessing, layers: list[Layer]) -> bytes:
    """Return the graph; its metadata names the known categories of the text inputs, by which a server flags unseen ones."""
    graph = GraphBuilder(inputs.numbers, inputs.texts)
    output = add_layers(graph, add_preprocessing(graph, inputs, fitted), layers)
    return graph.model(output, ["rows"], {"categories": fitted.text_classes})
