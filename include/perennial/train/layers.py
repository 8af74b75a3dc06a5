"""A model of dense layers: its graph and its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from perennial.train.graph import GraphBuilder
from perennial.train.views import Encoded

if TYPE_CHECKING:
    from perennial.train.matrix import Floats, Matrix


@dataclass(frozen=True, slots=True)
class Layer:
    """activation(x @ kernel + bias); kernel is [inputs, units]."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: Literal["relu"] | None


@dataclass(frozen=True, slots=True)
class Network:
    """
    Dense layers, of which the last gives the margin, or one for each class.

    :param margins: the margins that the library that trained them gives, [rows] or [rows, classes]
    """

    layers: list[Layer]
    margins: Callable[[Matrix], Floats]

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """Add the nodes of the layers and return the margin, [rows, 1]."""
        return add_layers(graph, view, self.layers)

    @property
    def weights(self) -> bytes:
        """Return the weights as safetensors."""
        return to_safetensors(self.layers)


def linear_network(weights: Floats) -> Network:
    """
    Return 64-bit weights [columns, classes of the codes, intercept] as one layer, whose library's answers are in 64 bits.

    Products and sums are those of scikit-learn's linear models.

    :param weights: [inputs], or [inputs, outputs]
    """

    def margins(rows: Matrix) -> Floats:
        begin = rows.columns.shape[1]
        found: Floats = rows.columns.astype(np.float64) @ weights[:begin] + weights[-1]
        for code, size in zip(rows.codes.T, rows.sizes, strict=True):
            found += np.concatenate([weights[begin : begin + size], np.zeros_like(weights[:1])])[code]
            begin += size
        return found

    kernel, bias = (weights[:-1, None], weights[-1:]) if weights.ndim == 1 else (weights[:-1], weights[-1])
    layer = Layer(kernel.astype(np.float32), bias.astype(np.float32), None)
    return Network([layer], margins)


def add_up(rows: Matrix, values: Floats) -> Floats:
    """
    Return the sum of a value of each row over the rows of each weight: the transpose of `linear_network`.

    :param values: [rows], or [rows, outputs]
    """
    parts = [rows.columns.astype(np.float64).T @ values]
    for code, size in zip(rows.codes.T, rows.sizes, strict=True):
        sums = [np.bincount(code, weights=some, minlength=size + 1)[:size] for some in np.atleast_2d(values.T)]
        parts.append(np.stack(sums, axis=-1).astype(np.float64).reshape(size, *values.shape[1:]))
    return np.concatenate([*parts, values.sum(axis=0, keepdims=True)])


def add_layers(graph: GraphBuilder, view: Encoded, layers: list[Layer]) -> str:
    """Add the nodes of some layers and return their output."""
    value = ""
    for index, layer in enumerate(layers):
        if index == 0:
            value = _add_first(graph, view, layer)
        else:
            value = graph.op("Gemm", value, graph.constant(layer.kernel), graph.constant(layer.bias))
        if layer.activation == "relu":
            value = graph.op("Relu", value)
    return value


def _add_first(graph: GraphBuilder, matrix: Encoded, layer: Layer) -> str:
    """Add the sum of the first layer: a product for the columns, and a row of the kernel for each code."""
    begin = matrix.width
    if matrix.columns is None:
        value = graph.constant(layer.bias)
    else:
        value = graph.op("Gemm", matrix.columns, graph.constant(layer.kernel[:begin]), graph.constant(layer.bias))
    for code, size in matrix.codes:
        rows = np.vstack([layer.kernel[begin : begin + size], np.zeros((1, layer.kernel.shape[1]), np.float32)])
        flat = graph.op("Reshape", code, graph.constant([-1], np.int64))
        value = graph.op("Add", value, graph.op("Gather", graph.constant(rows), flat, axis=0))
        begin += size
    return value


def from_safetensors(body: bytes) -> list[Layer]:
    """Return the layers of weights that `to_safetensors` wrote. A ReLU follows every layer but the last."""
    from safetensors.numpy import load

    arrays = load(body)
    last = len(arrays) // 2 - 1
    return [
        Layer(arrays[f"{index}.kernel"], arrays[f"{index}.bias"], None if index == last else "relu") for index in range(last + 1)
    ]


def move_margins(body: bytes, factor: float, shift: float) -> bytes:
    """Return weights that give margins * factor + shift."""
    *hidden, last = from_safetensors(body)
    moved = Layer((last.kernel * factor).astype(np.float32), (last.bias * factor + shift).astype(np.float32), last.activation)
    return to_safetensors([*hidden, moved])


def to_safetensors(layers: list[Layer]) -> bytes:
    """Return the weights as safetensors, which hold data and no code. The same weights give the same bytes."""
    from safetensors.numpy import save

    arrays = {
        f"{index}.{part}": np.ascontiguousarray(getattr(layer, part))
        for index, layer in enumerate(layers)
        for part in ("kernel", "bias")
    }
    return save(arrays)
