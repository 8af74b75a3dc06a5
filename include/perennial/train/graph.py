"""The ONNX graph of a model, built node by node: the same description always gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import GraphProto, NodeProto, TensorProto, checker, helper, load_from_string, numpy_helper

from perennial.store.json_value import JsonValue

# Both ONNX Runtime 1.32 and older servers run these opsets. Opset 17 is also the default of the conversion libraries.
OPSETS = {"": 17, "ai.onnx.ml": 3}
_IR_VERSION = 8


def with_output(model: bytes, name: str) -> bytes:
    """Return a model that also answers with one of its values, [rows, columns]."""
    loaded = load_from_string(model)
    loaded.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", None]))
    return bytes(loaded.SerializeToString(deterministic=True))


def nodes_of(graph: GraphProto, output: str) -> list[NodeProto]:
    """Return the nodes of a graph that compute one of its values, in order."""
    needed, nodes = {output}, list[NodeProto]()
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    return nodes[::-1]


class GraphBuilder:
    """Nodes and constants in the order in which they were added. Values are named by number; a column has shape [rows, 1]."""

    def __init__(self, numbers: list[str], texts: list[str]) -> None:
        self._numbers = numbers
        self._texts = texts
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._shared: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def constant(self, values: ArrayLike, dtype: type[np.generic] = np.float32, name: str | None = None) -> str:
        """Add a constant and return its name."""
        name = name or f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def op(
        self,
        kind: str,
        *args: str,
        output: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node and return the name of its output."""
        name = output or f"v{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(kind, list(args), [name], name=f"{kind}_{len(self._nodes)}", domain=domain, **attributes)
        )
        return name

    def number(self, name: str) -> str:
        """Return one column of the float input."""
        return self.columns("numbers", [self._numbers.index(name)])

    def text(self, name: str) -> str:
        """Return one column of the string input."""
        return self.columns("texts", [self._texts.index(name)])

    def columns(self, matrix: str, indices: list[int]) -> str:
        """Return the columns of a matrix at the given positions."""
        return self.op("Gather", matrix, self.constant(indices, np.int64), axis=1)

    def beside(self, *parts: str) -> str:
        """Concatenate matrices side by side."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def include(self, graph: GraphProto, output: str, inputs: Mapping[str, str] | None = None) -> str:
        """
        Add the nodes of the graph of a model that compute one of its values, and return the name of that value here.

        Nodes and constants that another included model has, too, are shared.

        :param inputs: the values here that its inputs have, by their names; None: it has the inputs of this graph
        """
        constants = {tensor.name: tensor for tensor in graph.initializer}
        names = {"": "", **(inputs or {name: name for name in ("numbers", "texts")})}

        def found(name: str) -> str:
            if name not in names:
                names[name] = self._share_constant(constants[name])
            return names[name]

        for node in nodes_of(graph, output):
            args = tuple(map(found, node.input))
            attributes = tuple(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
            key = (node.op_type, node.domain, args, attributes)
            if key not in self._shared:
                self._shared[key] = self._copy(node, args)
            names.update(zip(node.output, self._shared[key], strict=True))
        return found(output)

    def _share_constant(self, tensor: TensorProto) -> str:
        values = numpy_helper.to_array(tensor)
        key = ("constant", tensor.data_type, tuple(tensor.dims), values.tobytes())
        if key not in self._shared:
            self._shared[key] = (self.constant(values, values.dtype.type),)
        return self._shared[key][0]

    def _copy(self, node: NodeProto, args: tuple[str, ...]) -> tuple[str, ...]:
        copy = NodeProto()
        copy.CopyFrom(node)
        first = f"v{len(self._nodes)}"
        names = (first, *(f"{first}_{place}" for place in range(1, len(node.output))))
        copy.name, copy.input[:], copy.output[:] = f"{node.op_type}_{len(self._nodes)}", args, names
        self._nodes.append(copy)
        return names

    def model(
        self,
        output: str,
        shape: list[str | int],
        metadata: dict[str, JsonValue] | None = None,
        others: Mapping[str, list[str | int]] = MappingProxyType({}),
    ) -> bytes:
        """
        Return the model that computes `output`. Metadata values are written as JSON.

        :param others: the shapes of its other outputs by name
        """
        inputs = [
            helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["rows", len(self._numbers)]),
            helper.make_tensor_value_info("texts", TensorProto.STRING, ["rows", len(self._texts)]),
        ]
        shapes = {output: shape, **others}
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, some) for name, some in shapes.items()]
        graph = helper.make_graph(self._nodes, "perennial", inputs, outputs, self._constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        model = helper.make_model(graph, producer_name="perennial", opset_imports=opsets, ir_version=_IR_VERSION)
        helper.set_model_props(model, {key: json.dumps(value, sort_keys=True) for key, value in sorted((metadata or {}).items())})
        checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
