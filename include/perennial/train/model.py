"""A trained model: one graph from raw inputs to probability, and its weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from scipy.special import expit

from perennial.config.candidates import Family
from perennial.models.scoring import Numbers, Probabilities, Texts
from perennial.store.json_value import JsonValue
from perennial.store.objects import canonical_json, sha256
from perennial.train.author import Author
from perennial.train.candidates import module_of
from perennial.train.checkpoints import Checkpoints
from perennial.train.graph import GraphBuilder
from perennial.train.matrix import Floats, Matrix
from perennial.train.matrix_files import MatrixFiles, store_matrix
from perennial.train.preprocess import amounts, warn_of_empty, warnings_of
from perennial.train.views import Encoded, View, ViewGraph
from perennial.train.window import Window

log = logging.getLogger(__name__)


MARGIN = "margin"
"""The value of each graph that holds the logarithm of the odds, [rows, 1]."""


class Fitted(Protocol):
    """A fitted candidate, in terms of its view of a row."""

    @property
    def weights(self) -> bytes | None:
        """Return the weights as safetensors, from which the training of another date can start. None: it cannot."""

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """Add the nodes of the model and return its margin, [rows, 1]: the logarithm of the odds."""

    def margins(self, rows: Matrix) -> Floats:
        """Return the margins that the library itself gives, [rows]: a probability near 1 has lost their digits."""


class FamilyModule(Protocol):
    """The module of a family."""

    def prepare(self, window: Window, settings: Any) -> View:
        """Fit the preprocessing and return the view of a row that the family learns from."""

    def fit(
        self, rows: MatrixFiles, settings: Any, seed: int, checkpoints: Checkpoints | None = None, begin: bytes | None = None
    ) -> Fitted:
        """
        Fit the model. The same rows, settings and seed give the same bits.

        :param checkpoints: a long training may resume from its last one
        :param begin: the weights of a model with the same columns, for a family that can start from them
        """


class AuthoredModule(FamilyModule, Protocol):
    """The module of a family whose candidates have a file of the pipeline's author."""

    def fit(
        self,
        rows: MatrixFiles,
        settings: Any,
        seed: int,
        checkpoints: Checkpoints | None = None,
        begin: bytes | None = None,
        author: Author | None = None,
    ) -> Fitted:
        """Fit the model as the author's file says."""


@dataclass(frozen=True, slots=True)
class Model:
    """
    The files of a model as bytes, and what its graph is compared with.

    :param columns: a digest of the meaning of the view's columns: a warm start needs weights of the same columns
    :param log_odds: the logarithm of the odds that is added to the fitted margin
    """

    onnx: bytes
    weights: bytes | None
    columns: str
    warnings: list[str]
    view: View
    fitted: Fitted
    log_odds: float

    def answerer(self) -> Callable[[Numbers, Texts], Probabilities]:
        """Return the function that gives the library's own answers to raw inputs."""
        view = ViewGraph(self.view)

        def answer(numbers: Numbers, texts: Texts) -> Probabilities:
            found: Probabilities = expit(self.fitted.margins(view.of(numbers, texts)) + self.log_odds)
            return found

        return answer


@dataclass(frozen=True, slots=True)
class Begin:
    """The model of an earlier date, as a warm start."""

    version: str
    columns: str
    weights: bytes


def train_model(
    settings: Family,
    window: Window,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: Begin | None = None,
    author: Author | None = None,
) -> Model:
    """
    Fit preprocessing and candidate on the window and return the model. A long training resumes from its last checkpoint.

    If a category appeared or disappeared since `begin` was trained, the training starts from random weights.

    :param author: the file of a candidate whose family runs one
    """
    # Import only the libraries that the family needs.
    module = import_module(module_of(settings.family))
    view: View = module.prepare(window, settings)
    columns = _digest_columns(view)
    warnings = [*warnings_of(view.inputs, view.fitted), *warn_of_empty(window)]
    for text in warnings:
        log.warning("%s", text)
    weights = None
    if begin is not None and begin.columns == columns:
        log.info("Starting from the weights of %s", begin.version)
        weights = begin.weights
    elif begin is not None:
        log.info(
            "Starting from random weights: the columns differ from those of %s, a category appeared or disappeared", begin.version
        )
    files = store_matrix(window, view)
    fitted: Fitted = (
        cast(FamilyModule, module).fit(files, settings, seed, checkpoints, weights)
        if author is None
        else cast(AuthoredModule, module).fit(files, settings, seed, checkpoints, weights, author)
    )
    # The odds of the sample are not those of the window: a constant makes up for it, in any kind of model.
    log_odds = -window.log_odds
    return Model(export(view, fitted, log_odds), fitted.weights, columns, warnings, view, fitted, log_odds)


def _digest_columns(view: View) -> str:
    fitted = view.fitted
    numbers, texts = (
        {name: [item.own, item.rare] for name, item in classes.items()}
        for classes in (fitted.number_classes, fitted.text_classes)
    )
    parts: list[JsonValue] = [amounts(view.inputs), fitted.nullable, numbers, texts, sorted(fitted.codes)]
    return sha256(canonical_json(parts))[:16]


def export(view: View, fitted: Fitted, log_odds: float = 0.0) -> bytes:
    """
    Return the graph. Its metadata lists the known categories of the text inputs, so that a server can flag unseen ones.

    :param log_odds: added to the margin
    """
    graph = GraphBuilder(view.inputs.numbers, view.inputs.texts)
    margin = fitted.add(graph, view.add(graph))
    if log_odds:
        margin = graph.op("Add", margin, graph.constant(log_odds))
    return finish(graph, margin, {name: item.known for name, item in view.fitted.text_classes.items()})


def finish(graph: GraphBuilder, margin: str, categories: Mapping[str, JsonValue]) -> bytes:
    """Return the model that answers with the probability of a margin."""
    probability = graph.op("Sigmoid", graph.op("Identity", margin, output=MARGIN))
    output = graph.op("Reshape", probability, graph.constant([-1], np.int64), output="probability")
    return graph.model(output, ["rows"], {"categories": dict(categories)})
