"""Graphs of other projects' converters: those whose answers are drawn at random are refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from perennial.errors import RefusedError
from perennial.train.foreign import include_model
from perennial.train.graph import GraphBuilder


def model_of(*nodes: object) -> ModelProto:
    """Return a model of x [rows, 2], whose last node makes y, with the constants `ratio` and `yes`."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2]) for name in ("x", "y"))
    constants = [numpy_helper.from_array(np.float32(0.5), "ratio"), numpy_helper.from_array(np.array(True), "yes")]
    graph = helper.make_graph(list(nodes), "foreign", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(
    ("nodes", "operator"),
    [
        ([helper.make_node("RandomNormalLike", ["x"], ["z"]), helper.make_node("Add", ["x", "z"], ["y"])], "RandomNormalLike"),
        ([helper.make_node("Dropout", ["x", "ratio", "yes"], ["y"])], "Dropout"),
    ],
)
def test_a_graph_that_draws_random_numbers_is_refused(nodes: list[object], operator: str) -> None:
    with pytest.raises(RefusedError) as refused:
        include_model(GraphBuilder([], []), model_of(*nodes), "y", "matrix", "deep", "Change it.")
    assert f"operator {operator}: it draws random numbers, so the answers to one row differ" in str(refused.value)


def test_dropout_that_does_nothing_is_allowed() -> None:
    model = model_of(helper.make_node("Dropout", ["x", "ratio"], ["y"]))
    assert include_model(GraphBuilder([], []), model, "y", "matrix", "deep", "Change it.")
