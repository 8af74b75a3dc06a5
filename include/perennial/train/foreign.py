"""Graphs that a converter of another project made, as a part of a model's graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, defs, helper

from perennial.errors import RefusedError
from perennial.train.graph import OPSETS, GraphBuilder, nodes_of

_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
"""Operators whose answers differ from one call to the next."""


def include_model(graph: GraphBuilder, model: ModelProto, output: str, matrix: str, what: str, remedy: str) -> str:
    """
    Add the nodes that compute an output of a model from its only input, and return the name of that output here.

    :param matrix: the value here that its input has
    :param what: the model in an error
    :raises RefusedError: it has an operator that ONNX, or ONNX Runtime, does not have, or that draws random numbers
    """
    nodes = _order(nodes_of(model.graph, output), output)
    if unknown := sorted({node.op_type for node in nodes if not _is_known(node)}):
        raise refusal(what, [f"operator {name}: ONNX {OPSETS['']} has none of this name" for name in unknown], remedy)
    if drawn := sorted({node.op_type for node in _with_bodies(nodes) if _is_random(node)}):
        problems = [f"operator {name}: it draws random numbers, so the answers to one row differ" for name in drawn]
        raise refusal(what, problems, "Draw no random numbers when the model answers.")
    if nested := sorted({node.op_type for node in nodes if any(_reads_outside(body) for body in _bodies(node))}):
        raise refusal(what, [f"operator {name}: its body reads values from outside" for name in nested], remedy)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each kind of failure, and none for all
        raise refusal(what, [f"ONNX Runtime: {' '.join(str(error).split())[:500]}"], remedy) from None
    (name,) = [value.name for value in model.graph.input]
    ordered = helper.make_graph(nodes, "foreign", model.graph.input, model.graph.output, model.graph.initializer)
    return graph.include(ordered, output, {name: matrix})


def _order(nodes: list[NodeProto], output: str) -> list[NodeProto]:
    """
    Return nodes in the order in which a walk from an output leaves them.

    tf2onnx orders nodes by their names, which count all networks of the process, so the same network has several orders.
    """
    by_output = {name: place for place, node in enumerate(nodes) for name in node.output}
    ordered, left, todo = list[NodeProto](), set[int](), [(by_output[output], False)]
    while todo:
        place, is_left = todo.pop()
        if place in left:
            continue
        if is_left:
            left.add(place)
            ordered.append(nodes[place])
            continue
        todo.append((place, True))
        todo += [(by_output[name], False) for name in reversed(nodes[place].input) if name in by_output]
    return ordered


def _is_known(node: NodeProto) -> bool:
    if node.domain not in OPSETS:
        return False
    try:
        defs.get_schema(node.op_type, OPSETS[node.domain], node.domain)
    except defs.SchemaError:
        return False
    return True


def _is_random(node: NodeProto) -> bool:
    """Return whether a node draws random numbers. The third input of Dropout says that it trains."""
    return node.op_type in _RANDOM or (node.op_type == "Dropout" and len(node.input) > 2 and bool(node.input[2]))


def _with_bodies(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes, and those of the bodies of loops and branches."""
    for node in nodes:
        yield node
        for body in _bodies(node):
            yield from _with_bodies(body.node)


def _bodies(node: NodeProto) -> list[GraphProto]:
    return [graph for item in node.attribute for graph in (*([item.g] if item.HasField("g") else []), *item.graphs)]


def _reads_outside(body: GraphProto) -> bool:
    """Return whether the body of a loop or branch reads values that it does not define: they get other names here."""
    defined = {value.name for value in (*body.input, *body.initializer)} | {name for node in body.node for name in node.output}
    read = {name for node in body.node for name in node.input} | {value.name for value in body.output}
    return not read <= {*defined, ""} or any(_bodies(node) for node in body.node)


def cause_of(error: Exception, length: int = 300) -> str:
    """Return the class and the text of an exporter's error in one line: exporters have no class for all their failures."""
    text = " ".join(str(error).split())
    if len(text) > length:
        text = f"{text[:length].rpartition(' ')[0] or text[:length]} …"
    return f"{type(error).__name__}: {text}"


def refusal(what: str, problems: list[str], remedy: str) -> RefusedError:
    """Return the error of a model that cannot become a graph."""
    return RefusedError(f"{what} cannot become a graph", problems, remedy)
