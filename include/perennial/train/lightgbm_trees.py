"""Read the trees of a LightGBM model. A model that a graph of 32-bit comparisons and sums cannot reproduce is refused."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.errors import RefusedError
from perennial.train.trees import Branch, Ensemble, Leaf, Step, build_tree, floor32

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

_INFINITE = 1e300
"""LightGBM writes this threshold where all numbers, and infinity too, go to one side."""

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
        trees=tuple(build_tree(index % outputs, root, _read_node) for index, root in reversed(list(enumerate(roots)))),
    )


def _read_node(node: dict[str, Any]) -> Leaf | Branch[dict[str, Any]]:
    if "split_feature" not in node:
        with np.errstate(over="ignore"):
            return Leaf(float(np.float32(node["leaf_value"])))
    steps = _split_codes(node) if node["decision_type"] == "==" else _split_numbers(node)
    return Branch(node["split_feature"], steps, node["left_child"], node["right_child"])


def _split_codes(node: dict[str, Any]) -> list[Step]:
    """Return one test a code: the listed codes go left; null and unseen codes go right."""
    return [Step("==", float(code), null=False, to_left=True) for code in _codes(node)]


def _split_numbers(node: dict[str, Any]) -> list[Step]:
    """
    Return the tests of a numeric split. LightGBM sends the values that it takes for 0 to one side, all of them.

    If zero is a missing value ("Zero"), that side can differ from the side of its neighbours.
    """
    threshold = float(node["threshold"])
    if threshold >= _INFINITE:
        threshold = math.inf
    zero_left = threshold >= 0
    null_left = zero_left if node["missing_type"] == "None" else bool(node["default_left"])
    limit = max(floor32(threshold), _ZERO) if zero_left else min(floor32(threshold), _BELOW_ZERO)
    if node["missing_type"] != "Zero" or zero_left == null_left:
        return [Step("<=", limit, null_left, to_left=True)]
    if null_left:
        return [
            Step("<=", limit, null=True, to_left=True),
            Step(">", _ZERO, null=False, to_left=False),
            Step(">=", -_ZERO, null=False, to_left=True),
        ]
    return [
        Step("<=", _BELOW_ZERO, null=False, to_left=True),
        Step(">", limit, null=True, to_left=False),
        Step("<=", _ZERO, null=False, to_left=False),
    ]


def _codes(node: dict[str, Any]) -> list[int]:
    return [int(code) for code in node["threshold"].split("||")] if node.get("decision_type") == "==" else []


def _walk(root: dict[str, Any]) -> list[dict[str, Any]]:
    nodes = [root]
    for node in nodes:
        nodes += [node[side] for side in ("left_child", "right_child") if side in node]
    return nodes
