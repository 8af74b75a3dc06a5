"""A trained model: one graph from raw inputs to probability, and its weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from perennial.config.pipeline import Inputs
from perennial.models.scoring import to_arrays
from perennial.store.objects import canonical_json, sha256
from perennial.train.candidates import module_of
from perennial.train.checkpoints import Checkpoints
from perennial.train.graph import GraphBuilder
from perennial.train.layers import Layer, add_layers, from_safetensors, to_safetensors
from perennial.train.prepare import Rows
from perennial.train.preprocess import Preprocessing, add_preprocessing, amounts, fit_preprocessing, matrix_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """The files of a model, as bytes."""

    onnx: bytes
    safetensors: bytes
    columns: str
    """A digest of what the columns of the matrix stand for: weights of other columns are no beginning."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The model of an earlier date, to begin with."""

    version: str
    columns: str
    safetensors: bytes


def train_model(
    candidate: str,
    inputs: Inputs,
    window: Rows,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: Begin | None = None,
) -> Model:
    """
    Fit preprocessing and candidate on the window and return the model; a long training goes on from its last checkpoint.

    Where a category came or went since `begin` was trained, it begins anew.
    """
    numbers, texts = to_arrays(window.table, inputs)
    fitted = fit_preprocessing(inputs, numbers, texts)
    columns = _columns(inputs, fitted)
    weights = None
    if begin is not None and begin.columns == columns:
        log.info("Begins with the weights of %s", begin.version)
        weights = from_safetensors(begin.safetensors)
    elif begin is not None:
        log.info("Begins anew: the columns of %s are others, a category came or went", begin.version)
    # Only the libraries that the candidate needs are imported.
    fit: Callable[..., list[Layer]] = import_module(module_of(candidate)).fit
    layers = fit(matrix_of(inputs, fitted, numbers, texts), window.y, seed, checkpoints, weights)
    return Model(export(inputs, fitted, layers), to_safetensors(layers), columns)


def _columns(inputs: Inputs, fitted: Preprocessing) -> str:
    return sha256(canonical_json([amounts(inputs), fitted.nullable, fitted.number_classes, fitted.text_classes]))[:16]


def export(inputs: Inputs, fitted: Preprocessing, layers: list[Layer]) -> bytes:
    """Return the graph; its metadata names the known categories of the text inputs, by which a server flags unseen ones."""
    graph = GraphBuilder(inputs.numbers, inputs.texts)
    output = add_layers(graph, add_preprocessing(graph, inputs, fitted), layers)
    return graph.model(output, ["rows"], {"categories": fitted.text_classes})
