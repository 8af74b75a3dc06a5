"""The derived inputs as ONNX nodes: one implementation, for training and for serving."""

from __future__ import annotations

from datetime import date

import numpy as np

from perennial.config.derived import Derived
from perennial.train.graph import GraphBuilder

_EPOCH = date(1970, 1, 1)
_THURSDAY = 3.0
"""The weekday of 1970-01-01, where 0 is Monday."""


def add_derived(graph: GraphBuilder, derived: Derived) -> str:
    """Add the nodes of one derived input and return its column. A null (NaN) argument gives a null, except for is_missing."""
    columns = [graph.number(name) for name in derived.columns]
    first = columns[0]
    match derived.function:
        case "minute_of_day":
            return first
        case "hour_of_day":
            return graph.op("Floor", graph.op("Div", first, graph.constant(60)))
        case "weekday":
            return _modulo(graph, graph.op("Add", first, graph.constant(_THURSDAY)), 7)
        case "minutes_between":
            return _modulo(graph, graph.op("Sub", columns[1], first), 1440)
        case "difference":
            return graph.op("Sub", first, columns[1])
        case "ratio":
            by_zero = graph.op("Equal", columns[1], graph.constant(0))
            return graph.op("Where", by_zero, graph.constant(np.nan), graph.op("Div", first, columns[1]))
        case "is_missing":
            return graph.op("Cast", graph.op("IsNaN", first), to=1)
        case "days_to_nearest":
            dates = graph.constant([[(day - _EPOCH).days for day in derived.dates]])
            nearest = graph.op("ReduceMin", graph.op("Abs", graph.op("Sub", first, dates)), axes=[1], keepdims=1)
            # ONNX does not define a minimum over NaN.
            return graph.op("Where", graph.op("IsNaN", first), first, nearest)
    raise NotImplementedError(f"derived function {derived.function!r} has no nodes")


def _modulo(graph: GraphBuilder, value: str, by: int) -> str:
    """Return value modulo `by`, never negative. ONNX's own Mod of floats takes the sign of the dividend."""
    divisor = graph.constant(by)
    whole = graph.op("Floor", graph.op("Div", value, divisor))
    return graph.op("Sub", value, graph.op("Mul", whole, divisor))
