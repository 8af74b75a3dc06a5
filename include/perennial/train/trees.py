"""An ensemble of decision trees as one node of the graph. The trees compare 32-bit floats, as the graph does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np

from perennial.errors import RefusedError
from perennial.train.graph import GraphBuilder

if TYPE_CHECKING:
    from perennial.train.matrix import Floats, Matrix
    from perennial.train.views import Encoded

Node = TypeVar("Node")
Comparison = Literal["<", "<=", ">", ">=", "=="]

_MODES: dict[Comparison, str] = {
    "<": "BRANCH_LT",
    "<=": "BRANCH_LEQ",
    ">": "BRANCH_GT",
    ">=": "BRANCH_GTE",
    "==": "BRANCH_EQ",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """The value that a tree adds to its output."""

    value: float


@dataclass(frozen=True, slots=True)
class Split:
    """
    A test of one column. `yes` and `no` are positions in the tree.

    Several splits may share a `yes` node. ONNX Runtime refuses a graph in which two splits share a `no` node.

    :param null: a null passes the test
    """

    column: int
    comparison: Comparison
    threshold: float
    null: bool
    yes: int
    no: int


@dataclass(frozen=True, slots=True)
class Tree:
    """
    Nodes, the root first.

    :param output: the output that the tree adds to: the class, or 0
    """

    output: int
    nodes: tuple[Leaf | Split, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """
    A test that sends a value to one side if it passes, and else to the next step, or from the last to the other side.

    :param null: a null passes the test
    """

    comparison: Comparison
    threshold: float
    null: bool
    to_left: bool


@dataclass(frozen=True, slots=True)
class Branch(Generic[Node]):
    """A node of a library's tree that divides rows by one column, in one step or more."""

    column: int
    steps: list[Step]
    left: Node
    right: Node


def build_tree(output: int, root: Node, read: Callable[[Node], Leaf | Branch[Node]]) -> Tree:
    """Return the tree of a library, from its root downwards, level by level."""
    nodes: dict[int, Leaf | Split] = {}
    waiting = [(0, root)]
    free = 1
    for place, node in waiting:
        found = read(node)
        if isinstance(found, Leaf):
            nodes[place] = found
            continue
        sides = {True: free, False: free + 1}
        waiting += [(sides[True], found.left), (sides[False], found.right)]
        steps = found.steps
        places = [place, *range(free + 2, free + 1 + len(steps)), sides[not steps[-1].to_left]]
        free += 1 + len(steps)
        for here, after, step in zip(places, places[1:], steps, strict=False):
            nodes[here] = Split(found.column, step.comparison, step.threshold, step.null, sides[step.to_left], after)
    return Tree(output, tuple(nodes[place] for place in range(free)))


@dataclass(frozen=True, slots=True)
class Ensemble:
    """
    Trees whose leaves add up to the margins, in 32 bits and in this order.

    :param columns: number of columns of the table
    :param base: the margin of each output before the first tree
    """

    columns: int
    base: tuple[float, ...]
    trees: tuple[Tree, ...]

    def __post_init__(self) -> None:
        """Refuse values that 32-bit floats cannot hold: the graph would round them without a word."""
        problems = [f"base {value}: expected a finite 32-bit float" for value in self.base if not _is_finite(value)]
        problems += [f"tree {index}, {problem}" for index, tree in enumerate(self.trees) for problem in self._problems(tree)]
        if not self.trees:
            problems.append("found 0 trees, expected at least 1")
        if problems:
            raise RefusedError(
                "The trees cannot become a graph", problems, "Check the labels of the training window, and train again."
            )

    def _problems(self, tree: Tree) -> Iterator[str]:
        if not 0 <= tree.output < len(self.base):
            yield f"output {tree.output}: expected one of {len(self.base)} outputs"
        for node in tree.nodes:
            if isinstance(node, Leaf):
                if not _is_finite(node.value):
                    yield f"leaf {node.value}: expected a finite 32-bit float"
            elif not 0 <= node.column < self.columns:
                yield f"column {node.column}: expected one of {self.columns} columns"
            elif not _is_float32(node.threshold):
                yield f"threshold {node.threshold!r}: expected a 32-bit float"


@dataclass(frozen=True, slots=True)
class Trees:
    """
    A trained booster.

    :param read: returns the trees of a booster
    :param predict: the margins that the library itself gives, [rows] or [rows, classes]
    """

    booster: Any
    read: Callable[[Any], Ensemble]
    predict: Callable[[Matrix], Any]
    weights: None = None

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """Add the node of the trees and return the margins, [rows, outputs]."""
        return add_trees(graph, view.as_floats(graph), self.read(self.booster))

    def margins(self, rows: Matrix) -> Floats:
        """Return the margins of the library in 64 bits."""
        return np.asarray(self.predict(rows), dtype=np.float64)


def add_trees(graph: GraphBuilder, table: str, ensemble: Ensemble) -> str:
    """
    Add the node of the trees and return the margins, [rows, outputs]. The caller adds the link, such as a sigmoid.

    :param table: numbers and codes, [rows, columns]; a null is NaN
    """
    return graph.op("TreeEnsembleRegressor", table, domain="ai.onnx.ml", **_attributes(ensemble))


def floor32(value: float) -> float:
    """Return the greatest 32-bit float that is not above `value`. Then x <= value and x <= floor32(value) agree for each x."""
    with np.errstate(over="ignore"):
        nearest = np.float32(value)
        return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > value else nearest)


def _attributes(ensemble: Ensemble) -> dict[str, Any]:
    """
    Return the attributes of the node.

    ONNX Runtime adds the attribute base_values last, XGBoost adds the base first. So it becomes the first tree of its output,
    and the sums have the same bits.
    """
    bases = [Tree(output, (Leaf(value),)) for output, value in enumerate(ensemble.base) if value]
    nodes: list[tuple[int, int, int, str, float, int, int, int]] = []
    leaves: list[tuple[int, int, int, float]] = []
    for index, tree in enumerate([*bases, *ensemble.trees]):
        for place, node in enumerate(tree.nodes):
            if isinstance(node, Leaf):
                nodes.append((index, place, 0, "LEAF", 0.0, 0, 0, 0))
                leaves.append((index, place, tree.output, node.value))
            else:
                mode, null = _MODES[node.comparison], int(node.null)
                nodes.append((index, place, node.column, mode, node.threshold, null, node.yes, node.no))
    return {
        **_name("nodes", "treeids nodeids featureids modes values missing_value_tracks_true truenodeids falsenodeids", nodes),
        **_name("target", "treeids nodeids ids weights", leaves),
        "n_targets": len(ensemble.base),
    }


def _name(prefix: str, names: str, rows: Sequence[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Return one list a column of the rows."""
    return {f"{prefix}_{name}": column for name, column in zip(names.split(), zip(*rows, strict=True), strict=True)}


def _is_float32(value: float) -> bool:
    with np.errstate(over="ignore"):
        return float(np.float32(value)) == value


def _is_finite(value: float) -> bool:
    return math.isfinite(value) and _is_float32(value)
