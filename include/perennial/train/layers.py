"""The dense layers of a trained model. Each candidate returns a list of them; the graph and the weights are built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perennial.train.graph import GraphBuilder


@dataclass(frozen=True, slots=True)
class Layer:
    """activation(x @ kernel + bias); kernel is [inputs, units]."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: Literal["relu", "sigmoid"]


_NODES = {"relu": "Relu", "sigmoid": "Sigmoid"}


def add_layers(graph: GraphBuilder, matrix: str, layers: list[Layer]) -> str:
    """Add the nodes of the layers and return the output `probability`, one number a row."""
    value = matrix
    for layer in layers:
        value = graph.op("Gemm", value, graph.constant(layer.kernel), graph.constant(layer.bias))
        value = graph.op(_NODES[layer.activation], value)
    return graph.op("Reshape", value, graph.constant([-1], np.int64), output="probability")


def from_safetensors(body: bytes) -> list[Layer]:
    """Return the layers of weights that `to_safetensors` wrote. A ReLU follows every layer but the last, which has a sigmoid."""
    from safetensors.numpy import load

    arrays = load(body)
    last = len(arrays) // 2 - 1
    return [
        Layer(arrays[f"{index}.kernel"], arrays[f"{index}.bias"], "sigmoid" if index == last else "relu")
        for index in range(last + 1)
    ]


def to_safetensors(layers: list[Layer]) -> bytes:
    """Return the weights as safetensors, which hold data and no code. The same weights give the same bytes."""
    from safetensors.numpy import save

    arrays = {
        f"{index}.{part}": np.ascontiguousarray(getattr(layer, part))
        for index, layer in enumerate(layers)
        for part in ("kernel", "bias")
    }
    return save(arrays)
