"""Graphs that a converter of another project made, as a part of a model's graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime
from onnx import defs

from perennial.errors import RefusedError
from perennial.train.graph import OPSETS, GraphBuilder, nodes_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


def include_model(graph: GraphBuilder, model: ModelProto, output: str, matrix: str, what: str, remedy: str) -> str:
    """
    Add the nodes that compute an output of a model from its only input, and return the name of that output here.

    :param matrix: the value here that its input has
    :param what: the model in an error
    :raises RefusedError: it has an operator that ONNX, or ONNX Runtime, does not have
    """
    nodes = nodes_of(model.graph, output)
    if unknown := sorted({node.op_type for node in nodes if not _is_known(node)}):
        raise _refusal(what, [f"operator {name}: ONNX {OPSETS['']} has none of this name" for name in unknown], remedy)
    if nested := sorted({node.op_type for node in nodes if any(_reads_outside(body) for body in _bodies(node))}):
        raise _refusal(what, [f"operator {name}: its body reads values from outside" for name in nested], remedy)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each kind of failure, and none for all
        raise _refusal(what, [f"ONNX Runtime: {' '.join(str(error).split())[:500]}"], remedy) from None
    (name,) = [value.name for value in model.graph.input]
    return graph.include(model.graph, output, {name: matrix})


def _is_known(node: NodeProto) -> bool:
    if node.domain not in OPSETS:
        return False
    try:
        defs.get_schema(node.op_type, OPSETS[node.domain], node.domain)
    except defs.SchemaError:
        return False
    return True


def _bodies(node: NodeProto) -> list[GraphProto]:
    return [graph for item in node.attribute for graph in (*([item.g] if item.HasField("g") else []), *item.graphs)]


def _reads_outside(body: GraphProto) -> bool:
    """Return whether the body of a loop or branch reads values that it does not define: they get other names here."""
    defined = {value.name for value in (*body.input, *body.initializer)} | {name for node in body.node for name in node.output}
    read = {name for node in body.node for name in node.input} | {value.name for value in body.output}
    return not read <= {*defined, ""} or any(_bodies(node) for node in body.node)


def _refusal(what: str, problems: list[str], remedy: str) -> RefusedError:
    return RefusedError(f"{what} cannot become a graph", problems, remedy)
