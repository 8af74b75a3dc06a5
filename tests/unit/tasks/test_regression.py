"""A label that is a number: how it is read, scored and judged."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.pipeline import Floors, Gate, NumberLabel
from perennial.errors import RefusedError
from perennial.evaluate.comparison import Challenger, Opponent
from perennial.evaluate.gate import Judgement, judge
from perennial.evaluate.judged import Categories, Holdout
from perennial.tasks.regression import RegressionTask
from perennial.tasks.task import task_of

DAYS, ROWS = 7, 200
GATE = Gate(floors=Floors(rows=100), min_days=DAYS)


def task(predict: str, **changes: Any) -> RegressionTask:
    return RegressionTask(NumberLabel(column="minutes", predict=predict, **changes))


def test_each_prediction_has_its_own_loss() -> None:
    y, p = np.array([0.0, 10.0, 4.0]), np.array([1.0, 4.0, 4.0])
    assert task("mean").losses(y, p).tolist() == [1, 36, 0]
    assert task("median").losses(y, p).tolist() == [1, 6, 0]
    assert task("quantile 0.9").losses(y, p) == pytest.approx([0.1, 5.4, 0])


@pytest.mark.parametrize(("predict", "constant"), [("mean", np.mean), ("median", np.median), ("quantile 0.9", None)])
def test_the_constant_forecast_is_the_best_constant(predict: str, constant: Any) -> None:
    y = np.random.default_rng(3).gamma(1.0, 10.0, 5001)
    best = constant(y) if constant else np.quantile(y, 0.9)
    losses = [task(predict).losses(y, np.full(len(y), best + shift)).mean() for shift in (-0.5, 0, 0.5)]
    assert losses[1] == min(losses)
    assert task(predict).metrics(y, np.full(len(y), best), best)["skill"] == pytest.approx(0, abs=1e-12)


def test_metrics_are_in_the_unit_of_the_label_and_skill_is_a_share() -> None:
    y, p = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 5.0])
    assert task("mean").metrics(y, p, 2.5) == {
        "skill": pytest.approx(0.8),
        "squared_error": 0.25,
        "absolute_error": 0.25,
        "bias": 0.25,
    }
    found = task("quantile 0.9").metrics(y, p, 4.0)
    assert found["coverage"] == 1
    assert found["pinball_loss"] == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("values", "changes", "problem"),
    [
        ([1.0, None], {}, "1 of 2 rows have no label"),
        ([1.0, float("inf")], {}, "1 of 2 rows have a label that is not a finite 32-bit number; the first is inf"),
        ([1.0, 1e300], {}, "not a finite 32-bit number"),
        (["a"], {}, "the column is of type string, but task: regression predicts numbers"),
        ([True], {}, "the column is of type bool"),
    ],
    ids=str,
)
def test_a_label_that_does_not_fit_is_refused(values: list[Any], changes: Any, problem: str) -> None:
    with np.errstate(over="ignore"), pytest.raises(RefusedError, match=problem):
        task("mean", **changes).read_labels(pa.table({"minutes": values}))


def test_whole_numbers_and_decimals_are_labels() -> None:
    for kind in (pa.int32(), pa.int64(), pa.float32(), pa.decimal128(10, 2)):
        assert task("mean").read_labels(pa.table({"minutes": pa.array([1, 2], kind)})).tolist() == [1, 2]


def test_a_label_out_of_its_range_is_refused_by_a_training_and_read_by_a_report() -> None:
    bounded = task("mean", range=[0, 5])
    y = bounded.read_labels(pa.table({"minutes": [-1.0, 3.0, 9.0]}))
    with pytest.raises(RefusedError, match=r"2 of 3 rows have a label that is not a number from 0 to 5.*the first is -1\.0"):
        bounded.check_range(y)


def test_whole_numbers_beyond_64_bit_floats_are_rounded() -> None:
    assert task("mean").read_labels(pa.table({"minutes": [2**53 + 1]})).tolist() == [2**53]


def judged(y: np.ndarray, ours: np.ndarray, theirs: np.ndarray | None, gate: Gate = GATE, predict: str = "mean") -> Judgement:
    learning = task_of(NumberLabel(column="minutes", predict=predict))
    constant = float({"mean": y.mean(), "median": np.median(y)}.get(predict, np.quantile(y, 0.9)))
    metrics = learning.metrics(y, ours, constant)
    opponents = [] if theirs is None else [Opponent("incumbent", "old", theirs, 1)]
    holdout = Holdout(learning, y, [len(y) // DAYS] * DAYS)
    return judge(Challenger("mlp", "new", ours, metrics, constant), opponents, holdout, gate, 3)


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth of each row without its noise, and labels with a level of each day's own."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 10, DAYS * ROWS)
    return signal, signal + rng.normal(0, 10, DAYS * ROWS) + np.repeat(rng.normal(0, 3, DAYS), ROWS)


def test_a_verdict_does_not_depend_on_the_unit_of_the_label() -> None:
    signal, y = rows(1)
    noise = np.random.default_rng(2).normal(0, 4, len(y))
    found = [judged(y * unit, (signal + noise) * unit, signal * unit) for unit in (1, 1e-3, 1e4)]
    assert len({one.verdict for one in found}) == 1
    intervals = [one.comparisons[0].loss for one in found]
    assert all(one is not None for one in intervals)
    np.testing.assert_allclose(
        [[one.low, one.mid, one.high] for one in intervals if one], [[intervals[0].low, intervals[0].mid, intervals[0].high]] * 3
    )  # type: ignore[union-attr]


def test_floors_and_the_constant_forecast_can_refuse() -> None:
    signal, y = rows(1)
    assert judged(y, signal, None).verdict == "PROMOTE"
    found = judged(y, np.full(len(y), y.mean()), None)
    assert found.verdict == "REJECT"
    assert "squared error" in found.reasons[0]
    assert "of the constant forecast" in found.reasons[0]
    strict = GATE.model_copy(update={"floors": Floors(rows=100, skill=0.9)})
    assert judged(y, signal, None, strict).reasons == ("skill 0.5067, the floor is 0.9000",)
    few = GATE.model_copy(update={"floors": Floors(rows=10_000)})
    assert judged(y, signal, None, few).verdict == "HOLD"


def test_a_worse_model_is_rejected_and_a_better_one_is_promoted() -> None:
    signal, y = rows(1)
    noise = np.random.default_rng(2).normal(0, 9, len(y))
    better, worse = judged(y, signal, signal + noise), judged(y, signal + noise, signal)
    assert (better.verdict, worse.verdict) == ("PROMOTE", "REJECT")
    assert better.is_better
    assert "skill 0." in worse.reasons[0]
    assert "up to 0.1 worse is allowed" in worse.reasons[0]
    assert better.comparisons[0].stored().keys() >= {"skill", "rows", "decision"}
    assert "roc_auc" not in better.comparisons[0].stored()


def test_equal_labels_of_a_day_or_a_slice_do_not_change_the_unit() -> None:
    signal, y = rows(1)
    y[:ROWS] = y[ROWS : 2 * ROWS] = np.median(y)
    noise = np.random.default_rng(2).normal(0, 9, len(y))
    shut = Categories(["open", "shut"], np.repeat([1, 1, *[0] * (DAYS - 2)], ROWS).astype(np.uint8))
    gate = GATE.model_copy(update={"slices": ["mode"], "slice_min_rows": 200})
    found = []
    for unit in (1.0, 1e-4, 1e4):
        learning = task_of(NumberLabel(column="minutes", predict="median"))
        holdout = Holdout(learning, y * unit, [ROWS] * DAYS, {"mode": shut})
        ours, constant = (signal + noise) * unit, float(np.median(y)) * unit
        challenger = Challenger("mlp", "new", ours, learning.metrics(y * unit, ours, constant), constant)
        found.append(judge(challenger, [Opponent("incumbent", "old", signal * unit, 1)], holdout, gate, 3))
    assert len({tuple(c.verdict for c in one.comparisons) for one in found}) == 1
    assert found[0].verdict == "REJECT"
    mids = [[c.loss.mid for c in one.comparisons if c.loss] for one in found]
    np.testing.assert_allclose(mids, [mids[0]] * 3)


def test_one_row_that_decides_the_loss_of_all_holds() -> None:
    signal, y = rows(1)
    y[5] = 1e7
    found = judged(y, signal, None, predict="median")
    assert found.verdict == "HOLD"
    assert "one row of the holdout, with the label 10000000.0, makes up 100 %" in found.reasons[0]
    found = judged(np.full(len(y), 5.0), np.full(len(y), 5.0), None)
    assert found.verdict == "HOLD"
    assert found.reasons[0] == "all labels of the holdout equal the constant forecast 5 of the window"


@cache
def noise_at_the_margin(predict: str) -> tuple[float, float]:
    """Return the shift of the incumbent to the predicted quantile, and the noise that makes it worse by the margin."""
    learning, rng = task_of(NumberLabel(column="minutes", predict=predict)), np.random.default_rng(77)
    signal, extra = rng.normal(0, 10, 50_000), rng.normal(0, 1, 50_000)
    y = signal + rng.normal(0, np.hypot(10, 3), 50_000)
    shift = float(np.quantile(y - signal, 0.9)) if predict == "quantile 0.9" else 0.0
    constant = float(np.quantile(y, 0.9) if shift else np.median(y))
    unit = learning.losses(y, np.full(len(y), constant)).mean()
    sizes = np.linspace(0, 15, 31)
    losses = [learning.losses(y, signal + shift + size * extra).mean() for size in sizes]
    return shift, float(np.interp(losses[0] + learning.margin(GATE) * unit, losses, sizes))


@pytest.mark.parametrize("predict", ["mean", "median", "quantile 0.9"])
def test_a_model_that_is_worse_by_the_margin_passes_by_chance_only(predict: str) -> None:
    """The interval's bound is a test at 5 %. With seven days, chance allows it 9 of 100 times at most."""
    (shift, size), promoted = noise_at_the_margin(predict), 0
    for trial in range(100):
        signal, y = rows(trial)
        ours = signal + shift + size * np.random.default_rng([trial, 1]).normal(0, 1, len(y))
        promoted += judged(y, ours, signal + shift, predict=predict).verdict == "PROMOTE"
    assert 0 <= promoted <= 9
