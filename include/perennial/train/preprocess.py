"""Preprocessing: fitted on the window's rows and computed only by the graph, so that training and serving see the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.config.derived import parse_derived
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import Numbers, Texts, run_graph
from perennial.train.derived_nodes import add_derived
from perennial.train.graph import GraphBuilder

CLIP = 5.0
"""Standardised amounts are clipped at ±5, so that one absurd value cannot move a prediction far."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Values fitted on the window's rows: medians for nulls, mean and scale of each amount, and the known classes."""

    medians: list[float]
    means: list[float]
    scales: list[float]
    nullable: list[int]
    """Positions of amounts that had nulls in the window. For each, the model gets a column that marks missing values."""
    number_classes: dict[str, list[float]]
    text_classes: dict[str, list[str]]


def amounts(inputs: Inputs) -> list[str]:
    """
    Return the inputs that the model sees as amounts, in order.

    Raw dates and times are left out, because tomorrow's date lies outside every window. Derived inputs take their place. Derived
    inputs are sorted, because the canonical JSON of a job file sorts them too.
    """
    clocks = {name for name, field in inputs.request.items() if field.type in {"date", "time"}}
    raw = [name for name in inputs.numbers if name not in clocks]
    return raw + [name for name in sorted(inputs.derived) if name not in inputs.categories]


def fit_preprocessing(inputs: Inputs, numbers: Numbers, texts: Texts) -> Preprocessing:
    """Fit on the rows of the window. Nulls are NaN and ""."""
    columns = [*amounts(inputs), *inputs.categories]
    raw = np.empty((len(numbers), 0), dtype=np.float32)
    if columns:
        graph = GraphBuilder(inputs.numbers, inputs.texts)
        output = graph.op("Identity", _raw(graph, inputs, columns), output="raw")
        raw = run_graph(graph.model(output, ["rows", len(columns)]), output, numbers, texts)
    _refuse_infinite(columns, raw)
    values = raw[:, : len(amounts(inputs))].astype(np.float64)
    missing = np.isnan(values)
    medians = [float(np.median(column[~np.isnan(column)])) if not np.isnan(column).all() else 0.0 for column in values.T]
    filled = np.where(missing, medians, values)
    scales = filled.std(axis=0)
    return Preprocessing(
        medians=medians,
        means=[float(mean) for mean in filled.mean(axis=0)],
        # A constant column carries no information. Scale 1 makes it zero and avoids a division by zero.
        scales=[float(scale) if scale > 1e-6 * (1 + abs(median)) else 1.0 for scale, median in zip(scales, medians, strict=True)],
        nullable=[index for index in range(values.shape[1]) if missing[:, index].any()],
        number_classes={name: _classes(raw[:, columns.index(name)]) for name in inputs.categories},
        text_classes={name: sorted(set(texts[:, inputs.texts.index(name)])) for name in inputs.one_hot},
    )


def add_preprocessing(graph: GraphBuilder, inputs: Inputs, fitted: Preprocessing) -> str:
    """Add the nodes that compute the model's matrix from raw inputs, and return the matrix. An unseen class is all zeros."""
    parts = []
    if fitted.means:
        raw = _raw(graph, inputs, amounts(inputs))
        null = graph.op("IsNaN", raw)
        filled = graph.op("Where", null, graph.constant([fitted.medians]), raw)
        scaled = graph.op("Div", graph.op("Sub", filled, graph.constant([fitted.means])), graph.constant([fitted.scales]))
        parts.append(graph.op("Clip", scaled, graph.constant(-CLIP), graph.constant(CLIP)))
        if fitted.nullable:
            parts.append(graph.op("Cast", graph.columns(null, fitted.nullable), to=1))
    for name, classes in fitted.number_classes.items():
        if classes:
            column = add_derived(graph, parse_derived(inputs.derived[name]))
            parts.append(graph.op("Cast", graph.op("Equal", column, graph.constant([classes])), to=1))
    for name, known in fitted.text_classes.items():
        one_hot = graph.op("OneHotEncoder", graph.text(name), domain="ai.onnx.ml", cats_strings=known, zeros=1)
        parts.append(graph.op("Reshape", one_hot, graph.constant([-1, len(known)], np.int64)))
    if not parts:
        raise RefusedError(
            "The model has no inputs", remedy="Declare a number, category or derived input that is not an identifier."
        )
    return graph.beside(*parts)


def matrix_of(inputs: Inputs, fitted: Preprocessing, numbers: Numbers, texts: Texts) -> Numbers:
    """Compute the model's matrix of rows with the graph."""
    graph = GraphBuilder(inputs.numbers, inputs.texts)
    output = graph.op("Identity", add_preprocessing(graph, inputs, fitted), output="matrix")
    return run_graph(graph.model(output, ["rows", "columns"]), output, numbers, texts)


def _raw(graph: GraphBuilder, inputs: Inputs, columns: list[str]) -> str:
    """Add the nodes of the given numbers and derived inputs, side by side."""
    direct = [inputs.numbers.index(name) for name in columns if name not in inputs.derived]
    parts = [graph.columns("numbers", direct)] if direct else []
    parts += [add_derived(graph, parse_derived(inputs.derived[name])) for name in columns if name in inputs.derived]
    return graph.beside(*parts)


def _classes(column: NDArray[np.generic]) -> list[float]:
    return [float(value) for value in np.unique(column[~np.isnan(column)])]


def _refuse_infinite(columns: list[str], raw: Numbers) -> None:
    infinite = [f"{name}: {count} rows" for name, count in zip(columns, np.isinf(raw).sum(axis=0), strict=True) if count]
    if infinite:
        raise RefusedError(
            "Inputs are infinite as 32-bit floats",
            infinite,
            "Fix the expression in features.sql, or declare a range in pipeline.yaml for the column that it reads.",
        )
