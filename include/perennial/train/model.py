"""A trained model: one graph from raw inputs to probability, and its weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np

from perennial.config.pipeline import Inputs
from perennial.store.objects import canonical_json, sha256
from perennial.train.candidates import module_of
from perennial.train.checkpoints import Checkpoints
from perennial.train.graph import GraphBuilder
from perennial.train.layers import Layer, add_layers, from_safetensors, to_safetensors
from perennial.train.matrix_files import store_matrix
from perennial.train.preprocess import (
    Preprocessing,
    add_preprocessing,
    amounts,
    fit_preprocessing,
    warn_of_empty,
    warnings_of,
)
from perennial.train.window import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """The files of a model, as bytes."""

    onnx: bytes
    safetensors: bytes
    columns: str
    """A digest of the meaning of the matrix's columns. A warm start needs weights of the same columns."""

    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Begin:
    """The model of an earlier date, as a warm start."""

    version: str
    columns: str
    safetensors: bytes


def train_model(
    candidate: str,
    window: Window,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: Begin | None = None,
) -> Model:
    """
    Fit preprocessing and candidate on the window and return the model. A long training resumes from its last checkpoint.

    If a category appeared or disappeared since `begin` was trained, the training starts from random weights.
    """
    inputs = window.inputs
    fitted = fit_preprocessing(window)
    columns = _digest_columns(inputs, fitted)
    warnings = [*warnings_of(inputs, fitted), *warn_of_empty(window)]
    for text in warnings:
        log.warning("%s", text)
    weights = None
    if begin is not None and begin.columns == columns:
        log.info("Starting from the weights of %s", begin.version)
        weights = _shift(from_safetensors(begin.safetensors), window.log_odds)
    elif begin is not None:
        log.info(
            "Starting from random weights: the columns differ from those of %s, a category appeared or disappeared", begin.version
        )
    # Import only the libraries that the candidate needs.
    fit: Callable[..., list[Layer]] = import_module(module_of(candidate)).fit
    # The odds of the sample are not those of the window: the last bias makes up for it, in any kind of model.
    layers = _shift(fit(store_matrix(window, fitted), seed, checkpoints, weights), -window.log_odds)
    return Model(export(inputs, fitted, layers), to_safetensors(layers), columns, warnings)


def _shift(layers: list[Layer], log_odds: float) -> list[Layer]:
    if log_odds == 0.0:
        return layers
    *before, last = layers
    return [*before, replace(last, bias=(last.bias.astype(np.float64) + log_odds).astype(np.float32))]


def _digest_columns(inputs: Inputs, fitted: Preprocessing) -> str:
    numbers, texts = (
        {name: [item.own, item.rare] for name, item in classes.items()}
        for classes in (fitted.number_classes, fitted.text_classes)
    )
    return sha256(canonical_json([amounts(inputs), fitted.nullable, numbers, texts, sorted(fitted.codes)]))[:16]


def export(inputs: Inputs, fitted: Preprocessing, layers: list[Layer]) -> bytes:
    """Return the graph. Its metadata lists the known categories of the text inputs, so that a server can flag unseen ones."""
    graph = GraphBuilder(inputs.numbers, inputs.texts)
    output = add_layers(graph, add_preprocessing(graph, inputs, fitted), layers)
    return graph.model(output, ["rows"], {"categories": {name: item.known for name, item in fitted.text_classes.items()}})
