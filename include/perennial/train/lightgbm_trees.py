"""Read the trees of a LightGBM model. A model that a graph of 32-bit comparisons and sums cannot reproduce is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.errors import RefusedError
from perennial.train.trees import Comparison, Ensemble, Leaf, Split, Tree, floor32

if TYPE_CHECKING:
    import lightgbm

OBJECTIVES = {
    "binary sigmoid:1": r"binary sigmoid:1",
    "multiclass num_class:N": r"multiclass num_class:\d+",
    "regression": r"regression",
    "regression_l1": r"regression_l1",
    "quantile alpha:A": r"quantile( alpha:\S+)?",
}
"""Objectives as LightGBM writes them, each with its pattern."""

_KINDS = {"decision_type": {"<=", "=="}, "missing_type": {"None", "NaN", "Zero"}}
"""Properties of a split, each with its known values."""

_MAX_CODE = 2**24
"""A 32-bit float holds every whole number up to this one."""

_ZERO = float(np.float32(1e-35))
"""LightGBM takes values from -_ZERO to _ZERO for 0. (kZeroThreshold of its meta.h)"""

_BELOW_ZERO = float(np.nextafter(np.float32(-_ZERO), np.float32(-np.inf)))


def from_lightgbm(booster: lightgbm.Booster) -> Ensemble:
    """
    Return the trees that LightGBM predicts with, up to the best iteration.

    LightGBM compares 64-bit floats. Thresholds are rounded down, so that 32-bit inputs take the same branches.
    The codes of a category must be whole numbers.

    LightGBM adds in 64 bits. Its first tree contains the mean of the label, so the graph adds it last: the sums of the other
    trees are small, and lose less.
    """
    model = booster.dump_model()
    outputs = model["num_tree_per_iteration"]
    roots = [tree["tree_structure"] for tree in model["tree_info"]]
    objective = model.get("objective", "none")
    problems = []
    if not any(re.fullmatch(pattern, objective) for pattern in OBJECTIVES.values()):
        problems.append(f"objective: found {objective}, expected one of {', '.join(OBJECTIVES)}")
    if model["average_output"]:
        problems.append("boosting: found rf, which averages its trees, expected gbdt")
    nodes = [node for root in roots for node in _walk(root)]
    if any("leaf_coeff" in node for node in nodes):
        problems.append("linear_tree: found leaves with linear models, expected constant leaves")
    if codes := sorted({code for node in nodes for code in _codes(node) if code > _MAX_CODE}):
        problems.append(f"categories: found codes up to {codes[-1]}, expected at most {_MAX_CODE}")
    if model["pandas_categorical"]:
        problems.append("categories: found those of a pandas frame, expected codes in an array")
    for part, allowed in _KINDS.items():
        if unknown := sorted({node[part] for node in nodes if part in node} - allowed):
            problems.append(f"{part}: found {', '.join(unknown)}, expected one of {', '.join(sorted(allowed))}")
    if problems:
        raise RefusedError(
            "The graph cannot reproduce this LightGBM model", problems, "Train with parameters that lead to the expected ones."
        )
    return Ensemble(
        columns=model["max_feature_idx"] + 1,
        base=(0.0,) * outputs,
        trees=tuple(_read_tree(root, index % outputs) for index, root in reversed(list(enumerate(roots)))),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """A test that sends a value to one side if it passes, and else to the next step, or from the last to the other side."""

    comparison: Comparison
    threshold: float
    null: bool
    to_left: bool


def _read_tree(root: dict[str, Any], output: int) -> Tree:
    nodes: dict[int, Leaf | Split] = {}
    waiting = [(0, root)]
    free = 1
    for place, node in waiting:
        if "split_feature" not in node:
            with np.errstate(over="ignore"):
                nodes[place] = Leaf(float(np.float32(node["leaf_value"])))
            continue
        steps = _split_codes(node) if node["decision_type"] == "==" else _split_numbers(node)
        sides = {True: free, False: free + 1}
        waiting += [(sides[True], node["left_child"]), (sides[False], node["right_child"])]
        places = [place, *range(free + 2, free + 1 + len(steps)), sides[not steps[-1].to_left]]
        free += 1 + len(steps)
        for here, after, step in zip(places, places[1:], steps, strict=False):
            column = node["split_feature"]
            nodes[here] = Split(column, step.comparison, step.threshold, step.null, sides[step.to_left], after)
    return Tree(output, tuple(nodes[place] for place in range(free)))


def _split_codes(node: dict[str, Any]) -> list[_Step]:
    """Return one test a code: the listed codes go left; null and unseen codes go right."""
    return [_Step("==", float(code), null=False, to_left=True) for code in _codes(node)]


def _split_numbers(node: dict[str, Any]) -> list[_Step]:
    """
    Return the tests of a numeric split. LightGBM sends the values that it takes for 0 to one side, all of them.

    If zero is a missing value ("Zero"), that side can differ from the side of its neighbours.
    """
    threshold = float(node["threshold"])
    zero_left = threshold >= 0
    null_left = zero_left if node["missing_type"] == "None" else bool(node["default_left"])
    limit = max(floor32(threshold), _ZERO) if zero_left else min(floor32(threshold), _BELOW_ZERO)
    if node["missing_type"] != "Zero" or zero_left == null_left:
        return [_Step("<=", limit, null_left, to_left=True)]
    if null_left:
        return [
            _Step("<=", limit, null=True, to_left=True),
            _Step(">", _ZERO, null=False, to_left=False),
            _Step(">=", -_ZERO, null=False, to_left=True),
        ]
    return [
        _Step("<=", _BELOW_ZERO, null=False, to_left=True),
        _Step(">", limit, null=True, to_left=False),
        _Step("<=", _ZERO, null=False, to_left=False),
    ]


def _codes(node: dict[str, Any]) -> list[int]:
    return [int(code) for code in node["threshold"].split("||")] if node.get("decision_type") == "==" else []


def _walk(root: dict[str, Any]) -> list[dict[str, Any]]:
    nodes = [root]
    for node in nodes:
        nodes += [node[side] for side in ("left_child", "right_child") if side in node]
    return nodes
