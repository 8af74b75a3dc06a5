"""A network of PyTorch that an author built, as a part of a model's graph."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from onnx import ModelProto, load_from_string

from perennial.errors import RefusedError
from perennial.train.author import Author
from perennial.train.author_code import failures_of, refuse_result
from perennial.train.foreign import cause_of, include_model, refusal
from perennial.train.graph import OPSETS, GraphBuilder

if TYPE_CHECKING:
    import torch

    from perennial.train.matrix import Floats, Matrix
    from perennial.train.views import Encoded

_END = "End the network with torch.nn.Linear(…, task.outputs) and without an activation."
_OPERATORS = "Use layers and functions that ONNX has: linear and normalising layers, attention, LSTM, relu, gelu, silu, tanh."
_BATCH = "In forward, write x.flatten(1), or x.shape[0] for the number of rows: len(x) would be a constant of the graph."

_SHAPES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_BOUNDED = frozenset(
    {"Celu", "Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "PRelu", "Relu", "Selu", "Sigmoid", "Softmax"}
    | {"Softplus", "Softsign", "Tanh", "ThresholdedRelu"}
)
"""Activations, which would cut margins off: the loss takes log odds, or labels on both sides of 0."""


@dataclass(frozen=True, slots=True)
class PyTorchModel:
    """A trained network, on the CPU, whose outputs are the margins."""

    module: torch.nn.Module
    author: Author
    weights: None = None

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """Add the nodes that PyTorch makes of it, and return the margins, [rows, outputs]."""
        exported = _export(self.module, view.width + len(view.codes), self.author)
        return include_model(graph, exported, "margin", view.as_floats(graph), self.author.file, _OPERATORS)

    def margins(self, rows: Matrix) -> Floats:
        """Return the margins that PyTorch computes."""
        torch = load_torch()
        with torch.no_grad():
            margins: Floats = flat(self.module(torch.from_numpy(rows.as_floats()))).double().numpy()
        return margins


def flat(answers: torch.Tensor) -> torch.Tensor:
    """Return the answers of a network with one output as [rows]."""
    return answers[:, 0] if answers.shape[1] == 1 else answers


def check_network(module: Any, columns: int, outputs: int, author: Author) -> None:
    """
    Refuse a network that cannot be trained or cannot become a graph, before the time for its training is spent.

    :param columns: the number of its inputs
    :param outputs: the number of its outputs
    """
    torch = load_torch()
    if not isinstance(module, torch.nn.Module):
        raise refuse_result(author, "build", f"{type(module).__name__}, expected a torch.nn.Module", "Return the module itself.")
    module.eval()
    with failures_of(author), torch.no_grad():
        answers = module(torch.zeros(2, columns))
    if not isinstance(answers, torch.Tensor):
        raise refuse_result(author, "build", f"a network that answers with {type(answers).__name__}, expected a tensor", _END)
    if (answers.shape, answers.dtype) != ((2, outputs), torch.float32):
        found, expected = f"{list(answers.shape)} of {answers.dtype}", f"[2, {outputs}] of torch.float32"
        raise refuse_result(author, "build", f"a network that answers 2 rows with {found}, expected {expected}", _END)
    if not any(weights.requires_grad for weights in module.parameters()):
        raise refuse_result(author, "build", "a network without weights that can be trained", "Add a layer with weights.")
    exported = _export(module, columns, author)
    if (last := _last_operator(exported)) in _BOUNDED:
        raise refuse_result(author, "build", f"a network that ends with {last}", _END)
    include_model(GraphBuilder([], []), exported, "margin", "matrix", author.file, _OPERATORS)
    _check_rows(exported, columns, outputs, author)


def _export(module: torch.nn.Module, columns: int, author: Author) -> ModelProto:
    """
    Return the graph of a network, from `matrix` to `margin`, of any number of rows.

    PyTorch's exporter by traces needs no further package, and takes a tenth of a CPU second; the newer one takes four.
    """
    torch = load_torch()
    file, rows = io.BytesIO(), {0: "rows"}
    names: dict[str, Any] = {"input_names": ["matrix"], "output_names": ["margin"]}
    axes = {"matrix": rows, "margin": rows}
    with warnings.catch_warnings(), _discard_output():
        warnings.simplefilter("ignore")  # it announces its successor, and guesses about the number of rows
        try:
            torch.onnx.export(
                module, (torch.zeros(2, columns),), file, dynamo=False, opset_version=OPSETS[""], dynamic_axes=axes, **names
            )
        except Exception as error:  # the exporter has no class for all its failures
            raise refusal(author.file, [cause_of(error)], _OPERATORS) from error
    return load_from_string(file.getvalue())


def _last_operator(model: ModelProto) -> str:
    """Return the operator that computes the margins, but for changes of its shape."""
    by_output = {name: node for node in model.graph.node for name in node.output}
    node = by_output.get("margin")
    while node is not None and node.op_type in _SHAPES:
        node = by_output.get(node.input[0])
    return "" if node is None else node.op_type


def _check_rows(model: ModelProto, columns: int, outputs: int, author: Author) -> None:
    """Refuse a graph that holds the number of rows of its trace."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    try:
        (margins,) = session.run(None, {"matrix": np.zeros((3, columns), dtype=np.float32)})
        problem = "" if margins.shape == (3, outputs) else f"it answers 3 rows with {list(margins.shape)}"
    except Exception as error:  # ONNX Runtime has a class for each kind of failure, and none for all
        problem = " ".join(str(error).split())[:500]
    if problem:
        raise RefusedError(f"{author.file} cannot become a graph for any number of rows", [problem], _BATCH)


@contextmanager
def _discard_output() -> Iterator[None]:
    """Discard what this process writes to its standard output. The exporter prints the whole graph, in C++, when it fails."""
    flush = ctypes.CDLL(None).fflush
    flush(None)
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


@cache
def load_torch() -> ModuleType:
    """Import PyTorch with one thread, and with algorithms that give the same bits in each run."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else products on a GPU have other bits
    import torch

    logging.getLogger("torch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True)
    module: ModuleType = torch
    return module
