"""The judgement of `make bench-candidates`: losses, noise, the choice by validation, and each target."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROWS, FOLDS = 400, 2
BASE = np.random.default_rng(3).random(ROWS * FOLDS)


@pytest.fixture(scope="module")
def gaps(load_bench: Callable[[str], ModuleType]) -> ModuleType:
    return load_bench("candidate_gaps")


@pytest.fixture(scope="module")
def losses(load_bench: Callable[[str], ModuleType]) -> ModuleType:
    return load_bench("candidate_losses")


@pytest.fixture(scope="module")
def records(load_bench: Callable[[str], ModuleType]) -> ModuleType:
    return load_bench("candidate_records")


def make_set(task: str = "binary") -> Any:
    """Return a set of which only what is judged is there: two folds of 400 rows each, half of them positive."""
    y = np.tile([0, 1], ROWS * (FOLDS + 1) // 2)
    places = np.arange(ROWS)
    splits = [SimpleNamespace(train=places, test=places + ROWS * (fold + 1)) for fold in range(FOLDS)]
    return SimpleNamespace(
        name="made up", task=task, y=y, classes=[False, True], splits=splits, units=np.arange(len(y)), has_trend=False
    )


def make_record(records: ModuleType, level: float, validation: tuple[float, float] = (0.5, 0.5), **changes: Any) -> Any:
    """Return a record whose losses are those of all others times a level."""
    return replace(records.Record(BASE * level, np.array(validation), 1.0, 1e-7), **changes)


def test_losses_of_rows_are_those_of_the_forecast(losses: ModuleType) -> None:
    assert losses.row_losses("binary", np.array([0, 1]), np.array([0.2, 0.2])).tolist() == pytest.approx(
        [-math.log(0.8), -math.log(0.2)]
    )
    shares = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    assert losses.row_losses("multiclass", np.array([1, 0]), shares).tolist() == pytest.approx([-math.log(0.3), 0.0])
    assert losses.row_losses("regression", np.array([1.0]), np.array([3.0])).tolist() == [4.0]


def test_the_constant_forecast_knows_only_the_rows_trained_on(losses: ModuleType) -> None:
    assert losses.constant_forecast("multiclass", np.array([0, 0, 1, 0]), 3, 1).tolist() == [[0.75, 0.25, 0.0]]
    assert losses.constant_forecast("regression", np.array([1.0, 3.0]), 0, 2).tolist() == [2.0, 2.0]


def test_rows_of_a_day_are_one_draw(losses: ModuleType) -> None:
    days = np.repeat(np.arange(10), 100)
    difference = np.random.default_rng(1).normal(size=10)[days]
    low, high = losses.paired_interval(difference, np.zeros(1000), days)
    alone_low, alone_high = losses.paired_interval(difference, np.zeros(1000), np.arange(1000))
    assert low < difference.mean() < high
    assert high - low > 5 * (alone_high - alone_low)


def test_the_choice_is_by_validation_fold_by_fold(gaps: ModuleType, records: ModuleType) -> None:
    product = {"mlp": make_record(records, 2.0, (0.1, 0.9)), "logistic": make_record(records, 1.0, (0.2, 0.3))}
    folds, chosen = gaps.choose(make_set(), product, ["mlp", "logistic"])
    assert folds == ["mlp", "logistic"]
    assert chosen.tolist() == [*(BASE[:ROWS] * 2), *BASE[ROWS:]]


def test_validation_rows_are_the_last_quarter_of_those_to_train_on(records: ModuleType) -> None:
    inner = records.split_for_choice(SimpleNamespace(train=np.array([7, 3, 5, 1]), test=np.array([9])))
    assert (inner.train.tolist(), inner.test.tolist()) == ([7, 3, 5], [1])


def test_a_library_stands_in_for_a_family_that_the_product_lacks(gaps: ModuleType, records: ModuleType) -> None:
    product = {"logistic": make_record(records, 1.0)}
    direct = {"logistic": make_record(records, 1.0), "xgboost": make_record(records, 0.9)}
    verdict = gaps.judge(gaps.Measured(make_set(), product, direct), ["logistic"])
    assert (verdict.best, verdict.is_exception) == ("xgboost", True)
    assert verdict.gap == pytest.approx(1 / 0.9 - 1)
    assert verdict.models["xgboost"]["loss"] is None
    assert verdict.models["logistic"]["loss"] == verdict.models["logistic"]["direct_loss"]


def test_a_gap_within_noise_is_no_exception(gaps: ModuleType, records: ModuleType) -> None:
    noise = np.random.default_rng(5).normal(size=len(BASE))
    noisy = BASE + noise - noise.mean() + 0.012
    product = {"mlp": make_record(records, 1.0, losses=noisy), "logistic": make_record(records, 1.0, (0.9, 0.9))}
    verdict = gaps.judge(gaps.Measured(make_set(), product, {}), ["mlp", "logistic"])
    assert verdict.gap > 0.015
    assert verdict.gap_interval[0] < 0
    assert not verdict.is_exception


def test_a_set_with_a_trend_and_one_without_the_task_are_no_exceptions(gaps: ModuleType, records: ModuleType) -> None:
    direct = {"mlp": make_record(records, 0.5)}
    data = make_set()
    data.has_trend = True
    product = {"logistic": make_record(records, 1.0)}
    assert not gaps.judge(gaps.Measured(data, product, direct), ["logistic"]).is_exception
    assert gaps.judge(gaps.Measured(make_set(), {}, direct), ["logistic"]).gap is None


@pytest.mark.parametrize(
    ("changes", "miss"),
    [
        ({"losses": BASE + 1.0}, "logistic 1.4.*, the constant forecast 0.6931"),
        ({"losses": BASE * 1.01}, "logistic is 1.0% above its library, at most 0.5%"),
        ({"parity": 2e-5}, "logistic: library and graph differ by 2e-05, at most 1e-05"),
        ({"parity": None}, "library and graph were not compared in 1 of 1 models"),
    ],
    ids=["worse than the constant forecast", "worse than its library", "another graph", "not compared"],
)
def test_each_target_of_a_model_can_be_missed(gaps: ModuleType, records: ModuleType, changes: dict[str, Any], miss: str) -> None:
    data, good = make_set(), make_record(records, 1.0)

    def find(record: Any) -> str:
        verdicts = {"made up": gaps.judge(gaps.Measured(data, {"logistic": record}, {"logistic": good}), ["logistic"])}
        return "; ".join(gaps.find_misses(verdicts, {"made up": data}))

    assert find(good) == ""
    assert re.search(miss, find(replace(good, **changes)))


def test_two_exceptions_are_allowed_and_three_are_not(gaps: ModuleType, records: ModuleType) -> None:
    direct = {"xgboost": make_record(records, 0.9)}
    verdict = gaps.judge(gaps.Measured(make_set(), {"logistic": make_record(records, 1.0)}, direct), ["logistic"])
    for count, missed in ((2, False), (3, True)):
        names = [f"set {index}" for index in range(count)]
        misses = gaps.find_misses(dict.fromkeys(names, verdict), dict.fromkeys(names, make_set()))
        assert bool(misses) is missed
    assert misses == ["the choice is above the best family on 3 sets, at most 2: set 0 +11.1%, set 1 +11.1%, set 2 +11.1%"]


def test_a_set_that_was_not_measured_is_a_miss(gaps: ModuleType) -> None:
    assert gaps.find_misses({}, {"made up": make_set()}) == ["no choice from the default list on 1 sets: made up"]
