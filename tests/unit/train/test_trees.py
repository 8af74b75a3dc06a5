"""
The graph of boosted trees against XGBoost and LightGBM themselves.

XGBoost adds 32-bit floats in the order of the trees, as ONNX Runtime does, so its margins have the same bits.
LightGBM adds 64-bit floats. In 32 bits, each leaf and each sum is rounded by at most 6e-8 of itself, so the margins of up to
60 trees differ by less than 1e-5. A wrong branch differs by far more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from perennial.errors import RefusedError
from perennial.models.scoring import Graph
from perennial.train.graph import GraphBuilder
from perennial.train.lightgbm_trees import from_lightgbm
from perennial.train.trees import Ensemble, Leaf, Split, Tree, add_trees, floor32
from perennial.train.xgboost_trees import from_xgboost, read_base_score

Table = NDArray[np.float32]
Labels = NDArray[np.float64]

ROWS = 600
ZERO = np.float32(1e-35)
"""LightGBM takes values up to this one for 0."""

XGBOOST: dict[str, dict[str, Any]] = {
    "binary": {"objective": "binary:logistic"},
    "four classes": {"objective": "multi:softprob", "num_class": 4},
    "mean": {"objective": "reg:squarederror"},
    "median": {"objective": "reg:absoluteerror"},
    "quantile": {"objective": "reg:quantileerror", "quantile_alpha": 0.9},
    "two quantiles": {"objective": "reg:quantileerror", "quantile_alpha": [0.05, 0.95]},
}
LIGHTGBM: dict[str, dict[str, Any]] = {
    "binary": {"objective": "binary"},
    "four classes": {"objective": "multiclass", "num_class": 4},
    "mean": {"objective": "regression"},
    "median": {"objective": "regression_l1"},
    "quantile": {"objective": "quantile", "alpha": 0.9},
}
NULLS = ("none", "some", "all of a column")


def build_model(ensemble: Ensemble) -> bytes:
    graph = GraphBuilder([f"column {index}" for index in range(ensemble.columns)], [])
    margins = add_trees(graph, "numbers", ensemble)
    return graph.model(graph.op("Identity", margins, output="margins"), ["rows", len(ensemble.base)])


def compute(ensemble: Ensemble, table: Table) -> Table:
    return Graph(build_model(ensemble), "margins").run(table, np.empty((len(table), 0), dtype=object))


def make_table(nulls: str, seed: int = 0) -> Table:
    """Return normal numbers, whole numbers, small numbers and a constant."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=(ROWS, 2)),
        rng.integers(-3, 4, (ROWS, 1)),
        0.01 * rng.normal(size=(ROWS, 1)),
        np.full((ROWS, 1), 2.5),
    ]
    table = np.hstack(columns).astype(np.float32)
    if nulls == "some":
        table[rng.random(table.shape) < 0.2] = np.nan
    elif nulls == "all of a column":
        table[:, 1] = np.nan
    return table


def make_labels(task: str, table: Table, seed: int = 1) -> Labels:
    rng = np.random.default_rng(seed)
    signal = np.nan_to_num(table) @ [1.0, -1.0, 0.5, 30.0, 0.0] + np.isnan(table[:, 0]) + rng.normal(size=len(table))
    if task == "binary":
        return (signal > 0.5).astype(np.float64)
    if task == "four classes":
        return np.digitize(signal, [-1, 0, 1]).astype(np.float64)
    return 20 + 5 * signal


def make_edges(ensemble: Ensemble, rows: int = 2000, seed: int = 2) -> Table:
    """Return rows of each threshold, its two neighbours among the 32-bit floats, nulls, zeros and values outside the window."""
    rng = np.random.default_rng(seed)
    extremes = np.array([np.nan, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38], np.float32)
    zeros = np.array([side * value for side in (-1, 1) for value in (ZERO, *neighbours(ZERO))], np.float32)
    columns = []
    for column in range(ensemble.columns):
        splits = [node for tree in ensemble.trees for node in tree.nodes if isinstance(node, Split) and node.column == column]
        thresholds = np.unique(np.array([split.threshold for split in splits], np.float32))
        thresholds = thresholds[np.abs(thresholds) < 3e38]
        columns.append(rng.choice(np.concatenate([thresholds, *neighbours(thresholds), extremes, zeros]), rows))
    return np.stack(columns, axis=1)


def neighbours(values: Any) -> tuple[Any, Any]:
    return np.nextafter(values, np.float32(-np.inf)), np.nextafter(values, np.float32(np.inf))


def train_xgboost(table: Table, labels: Any, rounds: int = 30, **params: Any) -> xgboost.Booster:
    params = {"nthread": 1, "max_depth": 4, "tree_method": "hist", "verbosity": 0, **params}
    return xgboost.train(params, xgboost.DMatrix(table, label=labels, nthread=1), rounds)


def train_lightgbm(table: Any, labels: Any, rounds: int = 15, categories: Any = "auto", **params: Any) -> lightgbm.Booster:
    params = {"num_threads": 1, "num_leaves": 15, "min_data_in_leaf": 5, "verbose": -1, "deterministic": True, **params}
    return lightgbm.train(params, lightgbm.Dataset(table, label=labels, categorical_feature=categories), rounds)


def assert_same_bits(booster: xgboost.Booster, *tables: Table) -> None:
    ensemble = from_xgboost(booster)
    for table in (*tables, make_edges(ensemble)):
        expected = booster.predict(xgboost.DMatrix(table, nthread=1), output_margin=True)
        np.testing.assert_array_equal(compute(ensemble, table), expected.reshape(len(table), -1))


def assert_close(booster: lightgbm.Booster, *tables: Table) -> None:
    ensemble = from_lightgbm(booster)
    for table in (*tables, make_edges(ensemble)):
        expected = np.asarray(booster.predict(table, raw_score=True)).reshape(len(table), -1)
        np.testing.assert_allclose(compute(ensemble, table), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("nulls", NULLS)
@pytest.mark.parametrize("task", XGBOOST)
def test_margins_of_xgboost_have_the_same_bits(task: str, nulls: str) -> None:
    table = make_table(nulls)
    booster = train_xgboost(table, make_labels(task, table), **XGBOOST[task])
    assert_same_bits(booster, table, *(make_table(other, seed=3) for other in NULLS))
    margins = compute(from_xgboost(booster), table)
    assert margins.shape[1] == {"four classes": 4, "two quantiles": 2}.get(task, 1)
    assert (margins.std(axis=0) > 0.1).all()


@pytest.mark.parametrize("nulls", NULLS)
@pytest.mark.parametrize("task", LIGHTGBM)
def test_margins_of_lightgbm_agree(task: str, nulls: str) -> None:
    table = make_table(nulls)
    booster = train_lightgbm(table, make_labels(task, table), **LIGHTGBM[task])
    assert_close(booster, table, *(make_table(other, seed=3) for other in NULLS))
    margins = compute(from_lightgbm(booster), table)
    assert margins.shape[1] == (4 if task == "four classes" else 1)
    assert (margins.std(axis=0) > 0.1).all()


@pytest.mark.parametrize(
    "params",
    [
        {"tree_method": "exact", "gamma": 1.0},
        {"tree_method": "approx"},
        {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0},
        {"num_parallel_tree": 3, "subsample": 0.5, "colsample_bynode": 0.5, "seed": 4},
        {"base_score": 0.2, "scale_pos_weight": 3.0},
        {"monotone_constraints": "(1,-1,0,0,0)"},
    ],
    ids=lambda params: next(iter(params)) + "=" + str(next(iter(params.values()))),
)
def test_trees_that_xgboost_grows_otherwise(params: dict[str, Any]) -> None:
    table = make_table("some")
    assert_same_bits(train_xgboost(table, make_labels("binary", table), objective="binary:logistic", **params), table)


@pytest.mark.parametrize(
    "params",
    [
        {"boosting": "dart", "drop_rate": 0.5},
        {"data_sample_strategy": "goss"},
        {"extra_trees": True},
        {"use_missing": False},
        {"is_unbalance": True},
        {"monotone_constraints": [1, -1, 0, 0, 0], "monotone_constraints_method": "advanced"},
    ],
    ids=lambda params: next(iter(params)),
)
def test_trees_that_lightgbm_grows_otherwise(params: dict[str, Any]) -> None:
    table = make_table("some")
    assert_close(train_lightgbm(table, make_labels("binary", table), objective="binary", **params), table)


@pytest.mark.parametrize("seed", range(6))
def test_zero_as_a_missing_value_takes_its_own_side(seed: int) -> None:
    """The zeros of this column have high labels, between low ones: both sides of 0 differ from it."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(ROWS, 2)).astype(np.float32)
    table[rng.random(table.shape) < 0.3] = 0.0
    table[rng.random(table.shape) < 0.1] = np.nan
    labels = np.nan_to_num(table) @ [1.0, -1.0] + 5.0 * (np.nan_to_num(table) == 0.0).sum(axis=1)
    booster = train_lightgbm(table, labels, objective="regression", zero_as_missing=True)
    assert_close(booster, table)
    comparisons = [node.comparison for tree in from_lightgbm(booster).trees for node in tree.nodes if isinstance(node, Split)]
    assert ">" in comparisons


def test_a_threshold_beside_zero_counts_all_that_lightgbm_takes_for_zero() -> None:
    table = np.repeat(np.array([[-1.0], [0.0], [1.0]], np.float32), 50, axis=0)
    for labels in ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]):
        booster = train_lightgbm(table, np.repeat(labels, 50), objective="regression")
        assert_close(booster, table)
        assert any(
            split.threshold == 0 or abs(split.threshold) < 1e-34
            for split in from_lightgbm(booster).trees[0].nodes
            if isinstance(split, Split)
        )


def test_infinity_takes_the_branch_of_large_numbers() -> None:
    table = make_table("some")
    labels = make_labels("binary", table)
    infinite = np.where(np.random.default_rng(5).random(table.shape) < 0.3, np.float32(np.inf), table)
    infinite *= np.random.default_rng(6).choice([-1, 1], table.shape)
    light = train_lightgbm(table, labels, objective="binary")
    assert_close(light, infinite)
    booster = train_xgboost(table, labels, objective="binary:logistic")
    with pytest.raises(xgboost.core.XGBoostError, match="inf"):
        xgboost.DMatrix(infinite)
    ensemble = from_xgboost(booster)
    large = np.clip(infinite, np.float32(-3e38), np.float32(3e38))
    np.testing.assert_array_equal(compute(ensemble, infinite), compute(ensemble, large))


@pytest.mark.parametrize("task", ["binary", "four classes", "mean"])
def test_categories_of_lightgbm_with_null_and_unseen_codes(task: str) -> None:
    rng = np.random.default_rng(7)
    codes = np.stack([rng.integers(0, 70, 3000), rng.integers(0, 6, 3000), rng.integers(0, 3, 3000) * 1_000_000], axis=1)
    table = np.hstack([codes, rng.normal(size=(3000, 1))]).astype(np.float32)
    table[rng.random(table.shape) < 0.05] = np.nan
    signal = rng.normal(size=70)[np.nan_to_num(table[:, 0]).astype(int)] + (table[:, 1] == 3) + (table[:, 2] == 1_000_000)
    signal += np.nan_to_num(table[:, 3]) + 0.3 * rng.normal(size=3000)
    labels = {"binary": signal > 0.5, "four classes": np.digitize(signal, [-1, 0, 1]), "mean": signal}[task]
    booster = train_lightgbm(
        table,
        labels.astype(np.float64),
        categories=[0, 1, 2],
        max_cat_to_onehot=4,
        min_data_per_group=5,
        cat_smooth=1.0,
        **LIGHTGBM[task],
    )
    ensemble = from_lightgbm(booster)
    used = {node.column for tree in ensemble.trees for node in tree.nodes if isinstance(node, Split) and node.comparison == "=="}
    assert used == {0, 1, 2}
    unseen = np.array([np.nan, -1.0, 6.0, 31.0, 32.0, 33.0, 69.0, 70.0, 71.0, 500.0, 1e6, 2e6, 1e7], np.float32)
    served = rng.choice(unseen, (2000, 4))
    served[:, 0] = np.where(rng.random(2000) < 0.7, rng.integers(0, 75, 2000), served[:, 0])
    served[:, 3] = rng.normal(size=2000)
    for rows in (table, served):
        expected = np.asarray(booster.predict(rows, raw_score=True)).reshape(len(rows), -1)
        np.testing.assert_allclose(compute(ensemble, rows), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_equal_labels_give_trees_of_one_leaf(label: float, rounds: int) -> None:
    table = make_table("some")
    labels = np.full(ROWS, label)
    booster = train_xgboost(table, labels, rounds, objective="binary:logistic")
    assert_same_bits(booster, table)
    assert all(len(tree.nodes) == 1 for tree in from_xgboost(booster).trees)
    light = train_lightgbm(table, labels, rounds, objective="binary")
    assert_close(light, table)
    assert all(len(tree.nodes) == 1 for tree in from_lightgbm(light).trees)


@pytest.mark.parametrize("task", ["binary", "four classes", "mean"])
def test_constant_columns_give_trees_of_one_leaf(task: str) -> None:
    table = np.full((ROWS, 3), 7.0, np.float32)
    labels = make_labels(task, make_table("none"))
    assert_same_bits(train_xgboost(table, labels, **XGBOOST[task]), table)
    assert_close(train_lightgbm(table, labels, **LIGHTGBM[task]), table)


def test_a_single_tree() -> None:
    table = make_table("some")
    labels = make_labels("mean", table)
    assert_same_bits(train_xgboost(table, labels, 1), table)
    assert_close(train_lightgbm(table, labels, 1, objective="regression"), table)


def test_a_class_without_rows() -> None:
    table = make_table("none")
    labels = np.where(make_labels("binary", table), 3.0, 1.0)
    assert_same_bits(train_xgboost(table, labels, **XGBOOST["four classes"]), table)
    assert_close(train_lightgbm(table, labels, **LIGHTGBM["four classes"]), table)


@pytest.mark.parametrize("share", [1e-9, 1e-6, 0.013, 0.37, 0.5, 0.999999, 1 - 1e-7])
def test_the_base_score_of_a_binary_model_becomes_the_margin_of_xgboost(share: float) -> None:
    """XGBoost's logf and Python's logarithm differ by one unit in the last place at most."""
    table = make_table("none")
    booster = train_xgboost(table, make_labels("binary", table), 0, objective="binary:logistic", base_score=share)
    expected = booster.predict(xgboost.DMatrix(table), output_margin=True)[0]
    booster = train_xgboost(table, make_labels("binary", table), 1, objective="binary:logistic", base_score=share)
    np.testing.assert_array_max_ulp(np.float32(from_xgboost(booster).base[0]), expected, maxulp=1)


@pytest.mark.parametrize(
    ("text", "values"),
    [("5E-1", [0.5]), ("[5E-1]", [0.5]), ("[6.939876E-2,-2.871883E-2]", [np.float32(0.06939876), np.float32(-0.02871883)])],
)
def test_a_base_score_is_one_value_or_a_list(text: str, values: list[float]) -> None:
    assert read_base_score(text) == values


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    table = make_table("some")
    labels = 100_000 + make_labels("mean", table)
    booster = train_lightgbm(table, labels, 60, objective="regression")
    expected = np.asarray(booster.predict(table, raw_score=True))
    # Half a unit in the last place of 100,000 in 32 bits, and as much again for the sums.
    np.testing.assert_allclose(compute(from_lightgbm(booster), table)[:, 0], expected, rtol=0, atol=0.008)
    assert_same_bits(train_xgboost(table, labels), table)


def test_a_row_gives_the_same_bits_alone_and_among_others() -> None:
    table = make_table("some")
    labels = make_labels("four classes", table)
    for ensemble in (
        from_xgboost(train_xgboost(table, labels, 60, **XGBOOST["four classes"])),
        from_lightgbm(train_lightgbm(table, labels, 60, **LIGHTGBM["four classes"])),
    ):
        graph = Graph(build_model(ensemble), "margins")
        alone = [graph.run(table[row : row + 1], np.empty((1, 0), dtype=object)) for row in range(50)]
        np.testing.assert_array_equal(np.concatenate(alone), compute(ensemble, table)[:50])


VALUES = st.one_of(st.sampled_from([np.nan, 0.0, -0.0, 1.0, 1.5, -2.0, 0.1, 1e-30, float(ZERO)]), st.floats(-1e6, 1e6, width=32))


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, Table, Labels]:
    """Draw a task, a small table and its labels."""
    columns = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(VALUES, min_size=columns, max_size=columns), min_size=4, max_size=30))
    task = draw(st.sampled_from(["binary", "four classes", "mean"]))
    label = {"binary": st.integers(0, 1), "four classes": st.integers(0, 3), "mean": st.integers(-1000, 1000)}[task]
    labels = draw(st.lists(label, min_size=len(rows), max_size=len(rows)))
    return task, np.array(rows, np.float32), np.array(labels, np.float64)


@settings(max_examples=40)
@given(windows(), st.integers(1, 5), st.integers(1, 3))
def test_small_models_of_xgboost(window: tuple[str, Table, Labels], rounds: int, depth: int) -> None:
    task, table, labels = window
    assert_same_bits(train_xgboost(table, labels, rounds, max_depth=depth, min_child_weight=0.1, **XGBOOST[task]), table)


@settings(max_examples=40)
@given(windows(), st.integers(1, 5), st.integers(2, 6), st.booleans(), st.booleans())
def test_small_models_of_lightgbm(
    window: tuple[str, Table, Labels], rounds: int, leaves: int, use_missing: bool, zero_as_missing: bool
) -> None:
    task, table, labels = window
    booster = train_lightgbm(
        table,
        labels,
        rounds,
        num_leaves=leaves,
        min_data_in_leaf=1,
        min_data_in_bin=1,
        min_sum_hessian_in_leaf=1e-3,
        use_missing=use_missing,
        zero_as_missing=zero_as_missing,
        **LIGHTGBM[task],
    )
    ensemble = from_lightgbm(booster)
    # Leaves of both signs can cancel, so the difference is bounded by the leaves and not by their sum.
    sizes = [max(abs(node.value) for node in tree.nodes if isinstance(node, Leaf)) for tree in ensemble.trees]
    for rows in (table, make_edges(ensemble, rows=200)):
        expected = np.asarray(booster.predict(rows, raw_score=True)).reshape(len(rows), -1)
        np.testing.assert_allclose(compute(ensemble, rows), expected, rtol=0, atol=1e-6 + 1e-6 * sum(sizes))


@given(st.floats(allow_nan=False))
def test_rounding_down_keeps_the_order_of_all_32_bit_floats(value: float) -> None:
    threshold = np.float32(floor32(value))
    assert float(threshold) <= value
    with np.errstate(over="ignore"):
        assert threshold == np.inf or float(np.nextafter(threshold, np.float32(np.inf))) > value


def test_the_same_booster_gives_the_same_bytes() -> None:
    table = make_table("some")
    labels = make_labels("four classes", table)
    for train, read, params in (
        (train_xgboost, from_xgboost, XGBOOST["four classes"]),
        (train_lightgbm, from_lightgbm, LIGHTGBM["four classes"]),
    ):
        booster = train(table, labels, **params)
        model = build_model(read(booster))
        assert build_model(read(booster)) == build_model(read(train(table, labels, **params))) == model


class Buckets(xgboost.DataIter):
    """Hand out the buckets of a window, in order."""

    def __init__(self, buckets: list[tuple[Table, Labels]], cache: Path | None = None) -> None:
        self.buckets, self.place = buckets, 0
        super().__init__(cache_prefix=str(cache / "cache") if cache else None, release_data=True)

    def next(self, input_data: Callable[..., None]) -> bool:
        if self.place == len(self.buckets):
            return False
        table, labels = self.buckets[self.place]
        input_data(data=table, label=labels)
        self.place += 1
        return True

    def reset(self) -> None:
        self.place = 0


@pytest.mark.parametrize("task", ["binary", "four classes", "mean"])
def test_a_window_on_disk_gives_the_bytes_of_a_window_in_memory(task: str, tmp_path: Path) -> None:
    tables = [make_table("some", seed) for seed in range(5)]
    buckets = [(table[: 600 - 90 * place], make_labels(task, table)[: 600 - 90 * place]) for place, table in enumerate(tables)]
    params = {"nthread": 1, "max_depth": 4, "tree_method": "hist", "max_bin": 64, **XGBOOST[task]}
    on_disk = xgboost.ExtMemQuantileDMatrix(Buckets(buckets, tmp_path), max_bin=64, nthread=1)
    in_memory = xgboost.QuantileDMatrix(Buckets(buckets), max_bin=64, nthread=1)
    found, expected = xgboost.train(params, on_disk, 20), xgboost.train(params, in_memory, 20)
    assert found.save_raw("ubj") == expected.save_raw("ubj")
    assert build_model(from_xgboost(found)) == build_model(from_xgboost(expected))
    assert_same_bits(found, *(table for table, _ in buckets))


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"booster": "dart"}, "booster: found dart, expected gbtree"),
        ({"booster": "gblinear"}, "booster: found gblinear, expected gbtree"),
        ({"objective": "count:poisson"}, "objective: found count:poisson, expected one of binary:logistic, "),
        ({"objective": "binary:logitraw"}, "objective: found binary:logitraw, "),
        ({"objective": "multi:softmax", "num_class": 2}, "objective: found multi:softmax, "),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_a_model_of_xgboost_that_the_graph_cannot_reproduce_is_refused(params: dict[str, Any], problem: str) -> None:
    table = make_table("none")
    params = {"objective": "binary:logistic", **params}
    if params.get("booster") == "gblinear":
        params |= {"updater": "coord_descent", "tree_method": "auto", "max_depth": 0}
    booster = train_xgboost(table, make_labels("binary", table), 2, **params)
    with pytest.raises(RefusedError, match=re.escape(f"The graph cannot reproduce this XGBoost model: {problem}")):
        from_xgboost(booster)


def test_leaves_of_several_values_are_refused() -> None:
    table = make_table("none")
    booster = train_xgboost(table, table[:, :2], 2, multi_strategy="multi_output_tree")
    with pytest.raises(
        RefusedError, match="multi_strategy: found trees with several values a leaf, expected one_output_per_tree"
    ):
        from_xgboost(booster)


@pytest.mark.parametrize("one_hot", [1, 4, 100])
@pytest.mark.parametrize("task", ["binary", "four classes", "mean", "median"])
def test_categories_of_xgboost_with_null_and_unseen_codes(task: str, one_hot: int) -> None:
    rng = np.random.default_rng(7)
    table = np.stack([rng.integers(0, 40, 3000), rng.integers(0, 3, 3000), rng.normal(size=3000)], axis=1).astype(np.float32)
    table[rng.random(table.shape) < 0.1] = np.nan
    signal = rng.normal(size=40)[np.nan_to_num(table[:, 0]).astype(int)] + (table[:, 1] == 1) - 2 * np.isnan(table[:, 1])
    signal += np.nan_to_num(table[:, 2]) + 0.3 * rng.normal(size=3000)
    labels = {"binary": signal > 0.5, "four classes": np.digitize(signal, [-1, 0, 1])}.get(task, signal)
    types = ["c", "c", "q"]
    data = xgboost.QuantileDMatrix(table, labels, feature_types=types, enable_categorical=True, nthread=1)
    booster = xgboost.train({"nthread": 1, "max_depth": 5, "max_cat_to_onehot": one_hot, **XGBOOST[task]}, data, 20)
    ensemble = from_xgboost(booster)
    splits = [node for tree in ensemble.trees for node in tree.nodes if isinstance(node, Split)]
    assert {node.column for node in splits if node.comparison == "=="} == {0, 1}
    assert {node.column for node in splits if node.comparison == "<"} == {2}
    served = rng.choice(np.array([np.nan, -1.0, 3.0, 39.0, 40.0, 41.0, 500.0, 1e6, 1e7], np.float32), (2000, 3))
    served[:, 2] = rng.normal(size=2000)
    for rows in (table, served):
        expected = booster.inplace_predict(rows, predict_type="margin")
        np.testing.assert_array_equal(compute(ensemble, rows), expected.reshape(len(rows), -1))


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_categories_of_a_frame_are_refused(library: str) -> None:
    """Their codes are positions among the categories of the frame, which the graph does not see."""
    frame = pandas.DataFrame({"site": pandas.Categorical(["north", "south"] * 100)})
    label = (frame["site"] == "south").to_numpy()
    if library == "lightgbm":
        booster = train_lightgbm(frame, label, 2, objective="binary", min_data_per_group=1)
        with pytest.raises(RefusedError, match="categories: found those of a pandas frame, expected codes in an array"):
            from_lightgbm(booster)
        return
    data = xgboost.DMatrix(frame, label, enable_categorical=True)
    with pytest.raises(RefusedError, match="categories: found those of a data frame, expected codes in an array"):
        from_xgboost(xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 2))


def squared_error(predicted: NDArray[Any], data: lightgbm.Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    return predicted - data.get_label(), np.ones_like(predicted)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"objective": "poisson"}, "objective: found poisson, expected one of binary sigmoid:1, "),
        ({"objective": "binary", "sigmoid": 2.0}, "objective: found binary sigmoid:2, "),
        ({"objective": "multiclassova", "num_class": 2}, "objective: found multiclassova num_class:2 sigmoid:1, "),
        ({"objective": "regression", "reg_sqrt": True}, "objective: found regression sqrt, "),
        ({"objective": squared_error}, "objective: found none, "),
        (
            {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
            "boosting: found rf, which averages its trees, expected gbdt",
        ),
        (
            {"objective": "regression", "linear_tree": True},
            "linear_tree: found leaves with linear models, expected constant leaves",
        ),
    ],
    ids=["poisson", "sigmoid", "one-versus-all", "sqrt", "custom", "forest", "linear"],
)
def test_a_model_of_lightgbm_that_the_graph_cannot_reproduce_is_refused(params: dict[str, Any], problem: str) -> None:
    table = make_table("none")
    booster = train_lightgbm(table, make_labels("binary", table), 2, **params)
    with pytest.raises(RefusedError, match=re.escape(f"The graph cannot reproduce this LightGBM model: {problem}")):
        from_lightgbm(booster)


def test_codes_that_a_32_bit_float_cannot_hold_are_refused() -> None:
    table = (2.0**24 + 2 + 2 * (np.arange(200).reshape(-1, 1) % 2)).astype(np.float32)
    booster = train_lightgbm(
        table, table[:, 0] > 2**24 + 2, 2, categories=[0], objective="binary", min_data_per_group=1, cat_smooth=0.0, cat_l2=0.0
    )
    with pytest.raises(RefusedError, match=r"categories: found codes up to \d+, expected at most 16777216"):
        from_lightgbm(booster)


def test_a_model_without_trees_is_refused() -> None:
    table = make_table("none")
    with pytest.raises(RefusedError, match="The trees cannot become a graph: found 0 trees, expected at least 1"):
        from_xgboost(train_xgboost(table, make_labels("mean", table), 0))


def test_values_that_are_no_32_bit_floats_are_refused() -> None:
    tree = Tree(0, (Split(0, "<", 1.0, null=True, yes=1, no=2), Leaf(1.0), Leaf(2.0)))
    assert compute(Ensemble(1, (0.5,), (tree,)), np.array([[0.0], [1.0], [np.nan]], np.float32)).tolist() == [[1.5], [2.5], [1.5]]
    split = tree.nodes[0]
    assert isinstance(split, Split)
    wrong = [
        Tree(0, (Leaf(1e300),)),
        Tree(0, (Leaf(float("nan")),)),
        Tree(1, (Leaf(1.0),)),
        Tree(0, (replace(split, threshold=0.1), *tree.nodes[1:])),
        Tree(0, (replace(split, column=1), *tree.nodes[1:])),
    ]
    with pytest.raises(RefusedError) as refused:
        Ensemble(1, (float("inf"),), tuple(wrong))
    assert refused.value.problems == [
        "base inf: expected a finite 32-bit float",
        "tree 0, leaf 1e+300: expected a finite 32-bit float",
        "tree 1, leaf nan: expected a finite 32-bit float",
        "tree 2, output 1: expected one of 1 outputs",
        "tree 3, threshold 0.1: expected a 32-bit float",
        "tree 4, column 1: expected one of 1 columns",
    ]
