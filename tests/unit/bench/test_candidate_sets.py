"""The frozen sets of `make bench-candidates`: nothing is trained on rows that it is judged by, or on later ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

HERE = ["rain", "temperature", "flights_small", "delay_classes", "cancer", "digits"]
"""Sets whose packages the tests have."""


@pytest.fixture(scope="module")
def sets(load_bench: Callable[[str], ModuleType]) -> ModuleType:
    return load_bench("candidate_sets")


@pytest.fixture(scope="module")
def splits(load_bench: Callable[[str], ModuleType]) -> ModuleType:
    return load_bench("candidate_splits")


def test_random_splits_are_seeded_and_share_no_row(splits: ModuleType) -> None:
    first, second = splits.random_splits(101, folds=2)
    again, _ = splits.random_splits(101, folds=2)
    assert sorted([*first.train, *first.test]) == list(range(101))
    assert len(first.train) == 70
    assert first.train.tolist() == again.train.tolist() != second.train.tolist()


def test_a_sample_of_the_rows_is_split(splits: ModuleType) -> None:
    (split,) = splits.random_splits(1000, folds=1, max_rows=100)
    assert (len(split.train), len(split.test)) == (70, 30)
    assert not set(split.train) & set(split.test)


def test_rolling_splits_train_before_their_start_on_known_labels(splits: ModuleType) -> None:
    times = np.repeat(np.arange(50), 2)
    first, second = splits.rolling_splits(times, range(20, 40, 10), train=14, test=7, delay=3)
    assert (times[first.train].min(), times[first.train].max()) == (6, 16)
    assert (times[first.test].min(), times[first.test].max()) == (20, 26)
    assert times[second.train].max() == 26


def test_growing_splits_judge_by_each_later_row_once_and_begin_with_a_new_time(splits: ModuleType) -> None:
    times = np.sort(np.random.default_rng(1).integers(0, 30, 500))
    found = splits.growing_splits(times, folds=4)
    judged = np.concatenate([split.test for split in found])
    assert judged.tolist() == list(range(judged[0], 500))
    for split in found:
        assert split.train.tolist() == list(range(split.test[0]))
        assert times[split.train].max() < times[split.test].min()


def test_all_sets_are_frozen(sets: ModuleType) -> None:
    frozen = sets.read_frozen()["sets"]
    assert frozen.keys() == sets.SETS.keys()
    assert len(frozen) == 28
    assert {name: (item["task"], item["package"]) for name, item in frozen.items()} == {
        name: (recipe.task, recipe.package) for name, recipe in sets.SETS.items()
    }


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", HERE)
def test_a_set_is_the_frozen_one_and_trains_on_no_later_row(sets: ModuleType, name: str) -> None:
    data = sets.load_set(name)
    for split in data.splits:
        assert len(np.intersect1d(split.train, split.test)) == 0
        if data.times is not None:
            assert data.times[split.train].max() < data.times[split.test].min()
        if data.classes:
            assert set(data.y[split.train]) == set(range(len(data.classes)))
    assert all(data.frame[name].dtype == float for name in data.numbers)
    assert {type(value) for name in data.categories for value in data.frame[name]} <= {str, type(None)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: replace(data, frame=data.frame.assign(n_x=data.frame["n_x"] + 1)), "content"),
        (lambda data: replace(data, splits=data.splits[::-1]), "splits"),
        (lambda data: replace(data, frame=data.frame.iloc[:-1]), "rows 39, frozen 40"),
    ],
    ids=["another value", "another split", "a row less"],
)
def test_a_changed_set_is_refused(
    sets: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: Callable[[object], object],
    message: str,
) -> None:
    monkeypatch.setitem(sets.SETS, "small", sets.Recipe("binary", "none", small_frame, sets.SETS["churn"].split))
    data = sets.make_set("small")
    frozen = {"packages": {"numpy": "1.0.0", "no-such-package": "2.0"}, "sets": {"small": sets.describe(data)}}
    path = tmp_path / "sets.json"
    path.write_text(json.dumps(frozen))
    monkeypatch.setattr(sets, "read_frozen", lambda: json.loads(path.read_text()))
    assert sets.load_set("small").frame.equals(data.frame)
    monkeypatch.setattr(sets, "make_set", lambda name: change(data))
    with pytest.raises(
        SystemExit, match=rf"Set 'small' differs .*{message}[^\n]*\n.*frozen with 1.0.0; no-such-package is missing"
    ):
        sets.load_set("small")


def test_texts_numbers_and_nulls_are_typed(sets: ModuleType) -> None:
    frame = pd.DataFrame({"A.b": [1, 2], "flag": [True, False], "Kind": ["x", None], "label": [True, False]})
    typed = sets.to_typed(frame)
    assert typed["n_a_b"].tolist() == [1.0, 2.0]
    assert typed["c_flag"].tolist() == ["True", "False"]
    assert typed["c_kind"].tolist() == ["x", None]


def small_frame() -> pd.DataFrame:
    """Return forty rows."""
    return pd.DataFrame({"x": np.arange(40.0), "kind": ["a", "b"] * 20, "label": [True, False, False, True] * 10})
