"""A trained model: one graph from raw inputs to probability, and its weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from scipy.special import expit, softmax

from perennial.config.answers import INTERVAL
from perennial.config.candidates import Family
from perennial.config.label import BinaryLabel, ClassesLabel, Label, NumberLabel
from perennial.models.scoring import Numbers, Texts
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import JsonValue
from perennial.tasks.task import task_of
from perennial.train.author import Author
from perennial.train.calibration import add_interval
from perennial.train.candidates import INTERVALS, module_of
from perennial.train.checkpoints import Checkpoints
from perennial.train.graph import GraphBuilder
from perennial.train.layers import move_margins
from perennial.train.matrix import Floats, Matrix
from perennial.train.matrix_files import MatrixFiles, store_matrix
from perennial.train.preprocess import amounts, warn_of_empty, warnings_of
from perennial.train.target import Target, count_classes, warn_of_target
from perennial.train.views import Encoded, View, ViewGraph
from perennial.train.window import Window

if TYPE_CHECKING:
    from perennial.train.interval import Quantiles

log = logging.getLogger(__name__)


MARGIN = "margin"
"""
The value of each graph that holds the margin.

[rows, 1]: the logarithm of the odds, or a number in the unit of the label. [rows, classes]: the logarithms of the probabilities.
"""


class Fitted(Protocol):
    """A fitted candidate, in terms of its view of a row."""

    @property
    def weights(self) -> bytes | None:
        """Return the weights as safetensors, from which the training of another date can start. None: it cannot."""

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """
        Add the nodes of the model and return its margin.

        [rows, 1]: log odds, or a number as `Target` scales it. [rows, classes that are present]: logarithms of probabilities, but
        for a constant of each row.
        """

    def margins(self, rows: Matrix) -> Floats:
        """
        Return the margins that the library itself gives: a probability near 1 has lost their digits.

        [rows], or [rows, classes that are present].
        """


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
    :param target: the labels as the family learnt them
    :param log_odds: the logarithm of the odds that is added to the fitted margin
    """

    onnx: bytes
    weights: bytes | None
    columns: str
    warnings: list[str]
    view: View
    fitted: Fitted
    target: Target
    log_odds: float
    quantiles: Quantiles | None = None

    def answerer(self) -> Callable[[Numbers, Texts], Floats]:
        """Return the function that gives the library's own answers to raw inputs."""
        view = ViewGraph(self.view)

        def answer(numbers: Numbers, texts: Texts) -> Floats:
            margins = self.fitted.margins(view.of(numbers, texts)) + self.log_odds
            return predict(self.target.label, self.target.unscale(margins))

        return answer


@dataclass(frozen=True, slots=True)
class Begin:
    """
    The model of an earlier date, as a warm start.

    :param center: that of its labels, as in its `Target`
    :param spread: likewise
    """

    version: str
    columns: str
    weights: bytes
    center: float = 0.0
    spread: float = 1.0

    def scaled(self, target: Target) -> bytes:
        """Return the weights for labels that another window scales otherwise."""
        if target.is_classes or (self.center, self.spread) == (target.center, target.spread):
            return self.weights
        return move_margins(self.weights, self.spread / target.spread, (self.center - target.center) / target.spread)


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
    columns = _digest_columns(view, window.target)
    warnings = [*warnings_of(view.inputs, view.fitted), *warn_of_empty(window), *warn_of_target(window.target)]
    for text in warnings:
        log.warning("%s", text)
    weights = None
    if begin is not None and begin.columns == columns:
        log.info("Starting from the weights of %s", begin.version)
        weights = begin.scaled(window.target)
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
    quantiles = _fit_quantiles(window)
    onnx = export(view, fitted, window.target, log_odds, quantiles)
    return Model(onnx, fitted.weights, columns, warnings, view, fitted, window.target, log_odds, quantiles)


def _fit_quantiles(window: Window) -> Quantiles | None:
    """Return the quantiles of a label's interval, which are the same for all candidates of a date; None: it has no interval."""
    label = window.target.label
    if not isinstance(label, NumberLabel) or label.interval is None:
        return None
    found: Quantiles = import_module(INTERVALS).fit_quantiles(window, label.interval, seed=0)
    return found


def _digest_columns(view: View, target: Target) -> str:
    fitted = view.fitted
    numbers, texts = (
        {name: [item.own, item.rare] for name, item in classes.items()}
        for classes in (fitted.number_classes, fitted.text_classes)
    )
    parts: list[JsonValue] = [amounts(view.inputs), fitted.nullable, numbers, texts, sorted(fitted.codes)]
    return sha256(canonical_json([*parts, list(target.present)] if target.present else parts))[:16]


def export(view: View, fitted: Fitted, target: Target, log_odds: float = 0.0, quantiles: Quantiles | None = None) -> bytes:
    """
    Return the graph. Its metadata lists the known categories of the text inputs, so that a server can flag unseen ones.

    :param log_odds: added to the margin
    """
    graph = GraphBuilder(view.inputs.numbers, view.inputs.texts)
    margin = fitted.add(graph, view.add(graph))
    if log_odds:
        margin = graph.op("Add", margin, graph.constant(log_odds))
    if target.present:
        margin = _add_absent(graph, margin, target)
    elif not target.is_classes:
        margin = graph.op("Add", graph.op("Mul", margin, graph.constant(target.spread)), graph.constant(target.center))
    categories = {name: item.known for name, item in view.fitted.text_classes.items()}
    return finish(graph, margin, target.label, categories, quantiles.add(graph) if quantiles else None)


def _add_absent(graph: GraphBuilder, margin: str, target: Target) -> str:
    """Return the logarithms of the probabilities of all classes: those that the window lacks have a constant one."""
    logs = graph.op("LogSoftmax", margin, axis=-1)
    if not target.floor:
        return logs
    logs = graph.op("Add", logs, graph.constant(np.log(target.share_of_present)))
    zeros = graph.op("Mul", graph.columns(logs, [0]), graph.constant(0.0))
    constant = graph.op("Add", zeros, graph.constant(np.log(target.floor)))
    known = {place: column for column, place in enumerate(target.present)}
    places = [known.get(place, target.outputs) for place in range(count_classes(target.label))]
    return graph.columns(graph.beside(logs, constant), places)


def finish(
    graph: GraphBuilder, margin: str, label: Label, categories: Mapping[str, JsonValue], quantiles: str | None = None
) -> bytes:
    """
    Return the model that answers with the probabilities of a margin, or with the margin within the range of the label.

    :param quantiles: the two quantiles of an interval, [rows, 2]
    """
    answer = graph.op("Identity", margin, output=MARGIN)
    if isinstance(label, ClassesLabel):
        output = graph.op("Softmax", answer, axis=-1, output=task_of(label).output)
        return graph.model(output, ["rows", len(label.classes)], {"categories": dict(categories), "classes": label.names})
    if isinstance(label, BinaryLabel):
        answer = graph.op("Sigmoid", answer)
    elif label.range is not None:
        answer = graph.op("Clip", answer, *(graph.constant(bound) for bound in label.range))
    output = graph.op("Reshape", answer, graph.constant([-1], np.int64), output=task_of(label).output)
    others: dict[str, list[str | int]] = {}
    if quantiles is not None and isinstance(label, NumberLabel):
        add_interval(graph, answer, quantiles, label.range)
        others[INTERVAL] = ["rows", 2]
    return graph.model(output, ["rows"], {"categories": dict(categories)}, others)


def predict(label: Label, margins: Floats) -> Floats:
    """Return the predictions of margins as `finish` computes them."""
    found: Floats = margins
    if isinstance(label, BinaryLabel):
        found = expit(margins)
    elif isinstance(label, ClassesLabel):
        found = softmax(margins, axis=1)
    elif label.range is not None:
        least, most = label.range
        found = np.clip(margins, least, most)
    return found
