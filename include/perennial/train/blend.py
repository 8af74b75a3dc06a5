"""The family `blend`: the mean of other candidates' margins, as one graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, load_from_string

from perennial.config.label import ClassesLabel, Label, NumberLabel
from perennial.errors import PerennialError
from perennial.models.metrics import Floats
from perennial.models.scoring import Graph, Numbers, Texts
from perennial.store.json_value import JsonValue
from perennial.train.calibration import QUANTILES
from perennial.train.graph import GraphBuilder, with_output
from perennial.train.model import MARGIN, finish, predict


def blend(models: Sequence[bytes], numbers: list[str], texts: list[str], label: Label) -> bytes:
    """
    Return the graph of the mean of some models' margins. Nodes that models have in common are there once.

    :param numbers: the numbers among the raw inputs
    :param texts: the texts among them
    """
    loaded = [load_from_string(model) for model in models]
    known = [_categories(model) for model in loaded]
    if any(other != known[0] for other in known):
        raise PerennialError("The models of a blend know different categories: they were not trained on one window")
    graph = GraphBuilder(numbers, texts)
    margins = [graph.include(model.graph, MARGIN) for model in loaded]
    has_interval = isinstance(label, NumberLabel) and label.interval is not None
    # The quantiles of all parts are the same.
    quantiles = graph.include(loaded[0].graph, QUANTILES) if has_interval else None
    return finish(graph, graph.op("Mean", *margins), label, known[0], quantiles)


def answerer(models: Sequence[bytes], label: Label) -> Callable[[Numbers, Texts], Floats]:
    """Return the function that answers by the models one by one."""
    graphs = [Graph(with_output(model, MARGIN), MARGIN) for model in models]

    def answer(numbers: Numbers, texts: Texts) -> Floats:
        margins: Floats = np.mean([graph.run(numbers, texts).astype(np.float64) for graph in graphs], axis=0)
        return predict(label, margins if isinstance(label, ClassesLabel) else margins[:, 0])

    return answer


def _categories(model: ModelProto) -> dict[str, JsonValue]:
    found = {item.key: item.value for item in model.metadata_props}
    known: dict[str, list[str]] = json.loads(found["categories"])
    # Each family has an order of its own.
    return {name: sorted(values) for name, values in known.items()}
