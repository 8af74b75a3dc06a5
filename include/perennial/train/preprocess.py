"""Preprocessing: the values that are fitted on the window's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.config.derived import parse_derived
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import Graph, Numbers
from perennial.train.classes import Classes, choose_classes, choose_codes, warn_of_rare
from perennial.train.derived_nodes import add_derived
from perennial.train.graph import GraphBuilder
from perennial.train.medians import Medians
from perennial.train.window import Window


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """
    Values fitted on the window's rows: medians for nulls, mean and scale of each amount, and the known classes.

    :param codes: the categories that are one code a row; the others are one-hot columns
    """

    medians: list[float]
    means: list[float]
    scales: list[float]
    nullable: list[int]
    """Positions of amounts that had nulls in the window. For each, the model gets a column that marks missing values."""
    number_classes: dict[str, Classes[float]]
    text_classes: dict[str, Classes[str]]
    codes: frozenset[str]
    edges: list[list[float]]
    """For each amount, the edges of its bins, in order; none if it has too few values, or if the family asks for no bins."""

    @property
    def sizes(self) -> dict[str, int]:
        """Return the number of classes of each category."""
        return _sizes(self.number_classes, self.text_classes)


def amounts(inputs: Inputs) -> list[str]:
    """
    Return the inputs that the model sees as amounts, in order.

    Raw dates and times are left out, because tomorrow's date lies outside every window. Derived inputs take their place. Derived
    inputs are sorted, because the canonical JSON of a job file sorts them too.
    """
    clocks = {name for name, field in inputs.request.items() if field.type in {"date", "time"}}
    raw = [name for name in inputs.numbers if name not in clocks]
    return raw + [name for name in sorted(inputs.derived) if name not in inputs.categories]


def fit_preprocessing(window: Window, bins: int = 0) -> Preprocessing:
    """
    Fit on the rows of the window, exactly, in three passes. Nulls are NaN and "".

    :param bins: the number of bins of each amount, about the same number of rows in each
    """
    inputs = window.inputs
    columns = amounts(inputs)
    raw = _RawColumns(inputs, [*columns, *inputs.categories])
    medians = Medians(len(columns))
    classes = {name: Counter[float]() for name in inputs.categories}
    infinite = np.zeros(len(raw.names), dtype=np.int64)
    for values in raw.of(window):
        infinite += np.isinf(values).sum(axis=0)
        medians.count(values[:, : len(columns)])
        for place, name in enumerate(inputs.categories, start=len(columns)):
            classes[name].update(_count(values[:, place]))
    _refuse_infinite(raw.names, infinite)
    for values in raw.of(window):
        medians.count_near(values[:, : len(columns)])
    middle = medians.values()
    # Sums around the medians: neither the means nor the scales lose digits.
    sums, squares = np.zeros(len(columns)), np.zeros(len(columns))
    for values in raw.of(window):
        moved = values[:, : len(columns)].astype(np.float64) - middle
        moved[np.isnan(moved)] = 0.0
        sums += moved.sum(axis=0)
        squares += (moved**2).sum(axis=0)
    shift = sums / window.rows
    scales = np.sqrt(np.maximum(squares / window.rows - shift**2, 0.0))
    number_classes = {name: choose_classes(counts, inputs.max_classes) for name, counts in classes.items()}
    text_classes = {name: choose_classes(window.counts[name], inputs.max_classes) for name in inputs.one_hot}
    rare = [name for name, numbers in number_classes.items() if numbers.rare]
    rare += [name for name, texts in text_classes.items() if texts.rare]
    return Preprocessing(
        medians=middle.tolist(),
        means=(middle + shift).tolist(),
        # A constant column carries no information. Scale 1 makes it zero and avoids a division by zero.
        scales=[float(scale) if scale > 1e-6 * (1 + abs(median)) else 1.0 for scale, median in zip(scales, middle, strict=True)],
        nullable=np.flatnonzero(medians.nulls).tolist(),
        number_classes=number_classes,
        text_classes=text_classes,
        codes=choose_codes(_sizes(number_classes, text_classes), rare),
        edges=medians.edges(bins) if bins else [[] for _ in columns],
    )


class _RawColumns:
    """The numbers and derived inputs of each row, as the graph computes them, before any of it is fitted."""

    def __init__(self, inputs: Inputs, names: list[str]) -> None:
        self.names = names
        self._graph: Graph | None = None
        if names:
            graph = GraphBuilder(inputs.numbers, inputs.texts)
            output = graph.op("Identity", add_raw(graph, inputs, names), output="raw")
            self._graph = Graph(graph.model(output, ["rows", len(names)]), output)

    def of(self, window: Window) -> Iterator[Numbers]:
        """Yield [rows, names] of each bucket."""
        for bucket in window.read():
            if self._graph is not None:
                yield self._graph.run(bucket.numbers, bucket.texts)
            else:
                yield np.empty((len(bucket.y), 0), dtype=np.float32)


def warnings_of(inputs: Inputs, fitted: Preprocessing) -> list[str]:
    """Return a warning for each category with more classes than `max_classes`."""
    numbers = [(name, item) for name, item in fitted.number_classes.items() if item.rare]
    texts = [(name, item) for name, item in fitted.text_classes.items() if item.rare]
    return [
        *(warn_of_rare(name, item, inputs.max_classes, derived=True) for name, item in numbers),
        *(warn_of_rare(name, item, inputs.max_classes, derived=False) for name, item in texts),
    ]


def warn_of_empty(window: Window) -> list[str]:
    """Return a warning for each request field and lookup value that is null in all rows of the window."""
    return [
        f"{name}: it is null in all rows of the training window, so the model learns nothing from it. "
        "Check the SQL that selects it, or take it out of inputs until the window holds values"
        for name in window.empty
    ]


def _sizes(numbers: Mapping[str, Classes[float]], texts: Mapping[str, Classes[str]]) -> dict[str, int]:
    return {**{name: item.size for name, item in numbers.items()}, **{name: item.size for name, item in texts.items()}}


def add_raw(graph: GraphBuilder, inputs: Inputs, columns: list[str]) -> str:
    """Add the nodes of the given numbers and derived inputs, side by side."""
    direct = [inputs.numbers.index(name) for name in columns if name not in inputs.derived]
    parts = [graph.columns("numbers", direct)] if direct else []
    parts += [add_derived(graph, parse_derived(inputs.derived[name])) for name in columns if name in inputs.derived]
    return graph.beside(*parts)


def _count(column: NDArray[np.generic]) -> dict[float, int]:
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _refuse_infinite(columns: list[str], counts: NDArray[np.int64]) -> None:
    infinite = [f"{name}: {count} rows" for name, count in zip(columns, counts, strict=True) if count]
    if infinite:
        raise RefusedError(
            "Inputs are infinite as 32-bit floats",
            infinite,
            "Fix the expression in features.sql, or declare a range in pipeline.yaml for the column that it reads.",
        )
