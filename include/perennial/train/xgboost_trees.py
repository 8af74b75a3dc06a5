"""Read the trees of an XGBoost model. A model that a graph of 32-bit comparisons and sums cannot reproduce is refused."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.errors import RefusedError
from perennial.train.trees import Branch, Ensemble, Leaf, Step, Tree, build_tree

if TYPE_CHECKING:
    import xgboost

OBJECTIVES = (
    "binary:logistic",
    "multi:softprob",
    "reg:squarederror",
    "reg:absoluteerror",
    "reg:quantileerror",
)


def from_xgboost(booster: xgboost.Booster) -> Ensemble:
    """
    Return all trees of a model of XGBoost 3, with the base score as a margin. Its thresholds are 32-bit floats already.

    A model with early stopping keeps the trees after the best iteration: slice it first.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    model = learner["gradient_booster"].get("model", {})
    trees = model.get("trees", [])
    objective = learner["objective"]["name"]
    problems = []
    if (kind := learner["gradient_booster"]["name"]) != "gbtree":
        problems.append(f"booster: found {kind}, expected gbtree")
    if objective not in OBJECTIVES:
        problems.append(f"objective: found {objective}, expected one of {', '.join(OBJECTIVES)}")
    if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees):
        problems.append("multi_strategy: found trees with several values a leaf, expected one_output_per_tree")
    if any(map(len, model.get("cats", {}).get("enc", []))):
        problems.append("categories: found those of a data frame, expected codes in an array")
    sizes = learner["learner_model_param"]
    outputs = max(1, int(sizes["num_class"]), int(sizes["num_target"]))
    base = read_base_score(sizes["base_score"])
    if len(base) not in {1, outputs}:
        problems.append(f"base_score: found {len(base)} values, expected {outputs}")
    if problems:
        raise RefusedError(
            "The graph cannot reproduce this XGBoost model", problems, "Train with parameters that lead to the expected ones."
        )
    if objective == "binary:logistic":
        base = [_to_margin(share) for share in base]
    return Ensemble(
        columns=int(sizes["num_feature"]),
        base=tuple(base * outputs if len(base) < outputs else base),
        trees=tuple(_read_tree(tree, output) for tree, output in zip(trees, model["tree_info"], strict=True)),
    )


def read_base_score(text: str) -> list[float]:
    """Return the values of XGBoost's base_score: "[5E-1]", one a class or target, or "5E-1" before version 3.1."""
    values = json.loads(text)
    return [float(np.float32(value)) for value in (values if isinstance(values, list) else [values])]


def _to_margin(share: float) -> float:
    """Return the logit of XGBoost's base score in 32 bits, within the bounds that XGBoost sets for it."""
    bound = np.float32(1e-6)
    clipped = np.clip(np.float32(share), bound, np.float32(1) - bound)
    return float(np.float32(-math.log(np.float32(1) / clipped - np.float32(1))))


def _read_tree(tree: dict[str, Any], output: int) -> Tree:
    """Return the nodes below the root. Pruned nodes are left out."""
    left, right, values = tree["left_children"], tree["right_children"], tree["split_conditions"]
    sets = _read_sets(tree)

    def read(node: int) -> Leaf | Branch[int]:
        # A leaf's value is in split_conditions. base_weights has the value before reg:absoluteerror moved it.
        value = float(np.float32(values[node]))
        if left[node] < 0:
            return Leaf(value)
        null_left = bool(tree["default_left"][node])
        if node in sets:  # the listed codes go right
            steps = [Step("==", float(code), not null_left, to_left=False) for code in sets[node]]
        else:
            steps = [Step("<", value, null_left, to_left=True)]
        return Branch(tree["split_indices"][node], steps, left[node], right[node])

    return build_tree(output, 0, read)


def _read_sets(tree: dict[str, Any]) -> dict[int, list[int]]:
    """Return the codes that each split of a category lists."""
    codes, begins, sizes = tree["categories"], tree["categories_segments"], tree["categories_sizes"]
    return {node: codes[begin : begin + size] for node, begin, size in zip(tree["categories_nodes"], begins, sizes, strict=True)}
