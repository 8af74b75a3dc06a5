"""The families of boosted trees: rules by the strength of a window, windows of many buckets, a machine without OpenMP."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from authors import train as train_family
from sklearn.metrics import roc_auc_score
from windows import store_window

from perennial.config.candidates import FAMILIES, XGBoost
from perennial.config.label import BinaryLabel, NumberLabel
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import score
from perennial.store.content_name import sha256
from perennial.train import lightgbm, xgboost
from perennial.train import window as window_module
from perennial.train.matrix_files import store_matrix
from perennial.train.model import train_model
from perennial.train.strength import strength_of
from perennial.train.target import Target
from perennial.train.trees import Split
from perennial.train.xgboost_trees import from_xgboost

MakeRows = Callable[..., pa.Table]


def test_strength_is_the_rows_times_the_balance_of_classes() -> None:
    label = BinaryLabel(column="late")
    assert strength_of(1000, Target(label, 0.5)) == 1000
    assert strength_of(1000, Target(label, 0.01)) == pytest.approx(39.6)
    assert strength_of(1000, Target(NumberLabel(column="minutes", predict="mean"), 0.01)) == 1000


@pytest.mark.parametrize(
    ("strength", "depth", "weight", "leaves", "samples"),
    [
        (100, 3, 1.0, 6, 10),
        (3_000, 4, 3.0, 12, 30),
        (15_000, 4, 15.0, 12, 100),
        (20_000, 5, 20.0, 31, 100),
        (1e6, 5, 20.0, 31, 100),
    ],
)
def test_trees_grow_with_the_strength(strength: float, depth: int, weight: float, leaves: int, samples: int) -> None:
    assert (xgboost.choose_depth(strength), xgboost.choose_weight(strength)) == (depth, weight)
    assert (lightgbm.choose_leaves(strength), lightgbm.choose_samples(strength)) == (leaves, samples)


@pytest.mark.parametrize(("most", "comparisons"), [(16, {"<", "=="}), (2, {"<"})])
def test_splits_of_xgboost_divide_few_classes_by_sets_and_many_by_order(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, most: int, comparisons: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xgboost, "MAX_SET_OF_CLASSES", most)
    window = store_window(tmp_path, make_rows(), inputs)
    rows = store_matrix(window, xgboost.prepare(window, XGBoost()))
    trees = from_xgboost(xgboost.fit(rows, XGBoost(), 0).booster).trees
    splits = [node for tree in trees for node in tree.nodes if isinstance(node, Split)]
    assert {split.comparison for split in splits} == comparisons
    amounts = rows.columns - len(rows.categories)
    assert {split.comparison for split in splits if split.column < amounts} == {"<"}


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", ["xgboost", "lightgbm", "sklearn", "keras", "file"])
def test_a_window_of_many_buckets_is_trained_with_the_same_bits_twice(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, later = make_rows(), make_rows(seed=6, per_day=500)

    def train() -> bytes:
        return train_family(family, store_window(tmp_path, rows, inputs)).onnx

    alone = train()
    monkeypatch.setattr(window_module, "BUCKET_ROWS", 64)
    many = train()
    assert sha256(train()) == sha256(many)
    aucs = [roc_auc_score(later["failed"].to_numpy(), score(model, later, inputs)) for model in (alone, many)]
    assert min(aucs) > 0.75
    assert abs(aucs[0] - aucs[1]) < 0.03


def test_parameters_reach_the_library(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    for family in ("xgboost", "lightgbm"):
        model = train_model(FAMILIES[family](trees=3), store_window(tmp_path, make_rows(), inputs), seed=1)
        booster: Any = model.fitted.booster  # type: ignore[attr-defined]
        assert (booster.num_boosted_rounds() if family == "xgboost" else booster.num_trees()) == 3


def test_lightgbm_without_the_library_of_the_system_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RefusedError, match=r"libgomp\.so\.1.*Install the OpenMP library"):
        lightgbm._load.__wrapped__()
