"""The two views of a row that families learn from. The graph computes them, so that training and serving see the same."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from perennial.config.derived import parse_derived
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import Graph, Numbers, Texts
from perennial.train.classes import Classes, Value
from perennial.train.derived_nodes import add_derived
from perennial.train.graph import GraphBuilder
from perennial.train.matrix import Matrix
from perennial.train.preprocess import Preprocessing, add_raw, amounts

CLIP = 5.0
"""Standardised amounts are clipped at ±5, so that one absurd value cannot move a prediction far."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """
    The nodes of the graph that hold a model's matrix.

    :param columns: None if the matrix has codes only
    :param width: number of columns
    :param codes: (node, number of classes) of each code, an integer column
    """

    columns: str | None
    width: int
    codes: list[tuple[str, int]]

    def as_floats(self, graph: GraphBuilder) -> str:
        """Add the nodes that make one matrix of the columns and, after them, the codes: a float holds every code exactly."""
        parts = [graph.op("Cast", code, to=1) for code, _ in self.codes]
        return graph.beside(*([self.columns] if self.columns else []), *parts)


class View(Protocol):
    """
    The columns and codes of a row.

    :param amounts: the number of columns that hold any number; the columns after them hold 0 and 1
    :param width: the number of columns
    :param categories: the number of classes of each category whose places the last columns hold
    :param names: the names of the columns and of the codes after them
    """

    @property
    def inputs(self) -> Inputs: ...

    @property
    def fitted(self) -> Preprocessing: ...

    @property
    def amounts(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def categories(self) -> tuple[int, ...]: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def add(self, graph: GraphBuilder) -> Encoded:
        """Add the nodes that compute the view from raw inputs."""


@dataclass(frozen=True, slots=True)
class Dense:
    """
    A dense matrix: amounts imputed, standardised and clipped, their bins, marks of nulls, one-hot columns, and codes.

    An unseen class is all zeros, or the code after the last. A column of a bin rises from 0 to 1 within it.
    """

    inputs: Inputs
    fitted: Preprocessing

    @property
    def amounts(self) -> int:
        """Return the number of columns of amounts and of bins."""
        return len(self.fitted.means) + sum(max(len(edges) - 1, 0) for edges in self.fitted.edges)

    @property
    def width(self) -> int:
        """Return the number of columns, without codes."""
        one_hot = sum(size for name, size in self.fitted.sizes.items() if name not in self.fitted.codes)
        return self.amounts + len(self.fitted.nullable) + one_hot

    @property
    def categories(self) -> tuple[int, ...]:
        """Return none: classes have columns of their own, or codes."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name for each column and code, such as "load", "load, bin 1", "load is null", "site = north", "site"."""
        fitted, columns = self.fitted, amounts(self.inputs)
        bins = [f"{name}, bin {bin}" for name, edges in zip(columns, fitted.edges, strict=True) for bin in range(1, len(edges))]
        nulls = [f"{columns[place]} is null" for place in fitted.nullable]
        classes: list[tuple[str, list[Any]]] = [(name, item.own) for name, item in fitted.number_classes.items()]
        classes += [(name, item.own) for name, item in fitted.text_classes.items()]
        one_hot = [f"{name} = {value}" for name, own in classes if name not in fitted.codes for value in own]
        return (*columns, *bins, *nulls, *one_hot, *(name for name, _ in classes if name in fitted.codes and fitted.sizes[name]))

    def add(self, graph: GraphBuilder) -> Encoded:
        """Add the nodes of the matrix."""
        fitted, inputs = self.fitted, self.inputs
        parts = []
        codes = []
        if fitted.means:
            raw = add_raw(graph, inputs, amounts(inputs))
            null = graph.op("IsNaN", raw)
            filled = graph.op("Where", null, graph.constant([fitted.medians]), raw)
            scaled = graph.op("Div", graph.op("Sub", filled, graph.constant([fitted.means])), graph.constant([fitted.scales]))
            parts.append(graph.op("Clip", scaled, graph.constant(-CLIP), graph.constant(CLIP)))
            if any(fitted.edges):
                parts.append(_add_bins(graph, filled, fitted.edges))
            if fitted.nullable:
                parts.append(graph.op("Cast", graph.columns(null, fitted.nullable), to=1))
        for name, numbers in fitted.number_classes.items():
            if numbers.size:
                column = add_derived(graph, parse_derived(inputs.derived[name]))
                if name in fitted.codes:
                    codes.append((_add_code(graph, column, numbers, "keys_floats"), numbers.size))
                else:
                    parts.append(graph.op("Cast", graph.op("Equal", column, graph.constant([numbers.own])), to=1))
        for name, texts in fitted.text_classes.items():
            if name in fitted.codes:
                codes.append((_add_code(graph, graph.text(name), texts, "keys_strings"), texts.size))
            else:
                one_hot = graph.op("OneHotEncoder", graph.text(name), domain="ai.onnx.ml", cats_strings=texts.own, zeros=1)
                parts.append(graph.op("Reshape", one_hot, graph.constant([-1, texts.size], np.int64)))
        if not parts and not codes:
            raise _no_inputs()
        return Encoded(graph.beside(*parts) if parts else None, self.width, codes)


@dataclass(frozen=True, slots=True)
class Table:
    """
    A table of numbers for trees: amounts as they are, with NaN for null, and the place of each category's class.

    An unseen class is NaN.
    """

    inputs: Inputs
    fitted: Preprocessing

    @property
    def amounts(self) -> int:
        """Return the number of columns."""
        return len(self.fitted.means) + len(self.fitted.sizes)

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.amounts

    @property
    def categories(self) -> tuple[int, ...]:
        """Return the number of classes of each category."""
        return tuple(self.fitted.sizes.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the amounts and of the categories."""
        return (*amounts(self.inputs), *self.fitted.sizes)

    def add(self, graph: GraphBuilder) -> Encoded:
        """Add the nodes of the table."""
        parts = [add_raw(graph, self.inputs, amounts(self.inputs))] if self.fitted.means else []
        for name, numbers in self.fitted.number_classes.items():
            column = add_derived(graph, parse_derived(self.inputs.derived[name]))
            parts.append(_add_place(graph, column, numbers, "keys_floats"))
        for name, texts in self.fitted.text_classes.items():
            parts.append(_add_place(graph, graph.text(name), texts, "keys_strings"))
        if not parts:
            raise _no_inputs()
        return Encoded(graph.beside(*parts), self.width, [])


class ViewGraph:
    """The graph that computes a view of rows."""

    def __init__(self, view: View) -> None:
        graph = GraphBuilder(view.inputs.numbers, view.inputs.texts)
        encoded = view.add(graph)
        output = graph.op("Identity", encoded.as_floats(graph), output="matrix")
        self._graph = Graph(graph.model(output, ["rows", "columns"]), output)
        self._width = encoded.width
        self.sizes = tuple(size for _, size in encoded.codes)

    def of(self, numbers: Numbers, texts: Texts) -> Matrix:
        """Return the view of some rows."""
        values = self._graph.run(numbers, texts)
        columns, codes = values[:, : self._width], values[:, self._width :].astype(np.int32)
        return Matrix(np.ascontiguousarray(columns), codes, self.sizes)


def _add_bins(graph: GraphBuilder, filled: str, edges: list[list[float]]) -> str:
    """Add a column for each bin of each amount: 0 below the bin, 1 above it, and in between the share of its width."""
    pieces = [(place, low, high) for place, bounds in enumerate(edges) for low, high in pairwise(bounds)]
    places, lows, highs = zip(*pieces, strict=True)
    above = graph.op("Sub", graph.columns(filled, list(places)), graph.constant([lows]))
    widths = graph.constant([np.subtract(highs, lows)])
    return graph.op("Clip", graph.op("Div", above, widths), graph.constant(0.0), graph.constant(1.0))


def _add_code(graph: GraphBuilder, column: str, classes: Classes[Value], keys: str) -> str:
    """Add the node that gives each value the position of its class; rare values share the last one."""
    values: dict[str, Any] = {keys: classes.known, "values_int64s": _places(classes)}
    return graph.op("LabelEncoder", column, domain="ai.onnx.ml", default_int64=classes.size, **values)


def _add_place(graph: GraphBuilder, column: str, classes: Classes[Value], keys: str) -> str:
    """Add the node that gives each value the position of its class as a float, and NaN to an unseen one."""
    values: dict[str, Any] = {keys: classes.known, "values_floats": [float(place) for place in _places(classes)]}
    if not classes.known:  # the node needs a key
        values = {keys: [""] if keys == "keys_strings" else [0.0], "values_floats": [float("nan")]}
    return graph.op("LabelEncoder", column, domain="ai.onnx.ml", default_float=float("nan"), **values)


def _places(classes: Classes[Value]) -> list[int]:
    return [*range(len(classes.own)), *([len(classes.own)] * len(classes.rare))]


def _no_inputs() -> RefusedError:
    return RefusedError(
        "The model has no inputs", remedy="Declare a number, category or derived input that is not an identifier."
    )
