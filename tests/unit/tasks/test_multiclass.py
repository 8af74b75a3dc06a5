"""Labels of several classes: how they are read, scored and judged."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.label import ClassesLabel
from perennial.config.pipeline import Floors, Gate
from perennial.evaluate.comparison import Challenger, Opponent
from perennial.evaluate.gate import Judgement, judge
from perennial.evaluate.judged import Holdout
from perennial.tasks.multiclass import MulticlassTask

DAYS, ROWS = 7, 200
GATE = Gate(floors=Floors(rows=100), min_days=DAYS)
TASK = MulticlassTask(ClassesLabel(column="grade", classes=["good", "worn", "bad"]))


def test_labels_are_places_of_classes_in_any_type_of_column() -> None:
    texts = pa.array(["bad", "good"])
    for column in (texts, texts.cast(pa.large_string()), texts.dictionary_encode().cast(pa.string())):
        assert TASK.read_labels(pa.table({"grade": column})).tolist() == [2, 0]
    whole = MulticlassTask(ClassesLabel(column="grade", classes=[5, -1]))
    for kind in (pa.int8(), pa.int64()):
        assert whole.read_labels(pa.table({"grade": pa.array([-1, 5], kind)})).tolist() == [1, 0]


def test_the_loss_is_that_of_the_own_class_and_never_infinite() -> None:
    p = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    losses = TASK.losses(np.array([1, 0]), p)
    assert losses[0] == pytest.approx(-np.log(0.25))
    assert 30 < losses[1] < 40


def test_metrics_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 3, 500), rng.dirichlet([1, 1, 1], 500)
    shares = (np.bincount(y, minlength=3) / 500).tolist()
    found = TASK.metrics(y, p, shares)
    assert found["log_loss"] == pytest.approx(log_loss(y, p))
    assert found["roc_auc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"))
    assert found["accuracy"] == accuracy_score(y, p.argmax(axis=1))
    constant = log_loss(y, np.broadcast_to(shares, (500, 3)))
    assert found["skill"] == pytest.approx(1 - log_loss(y, p) / constant)
    assert TASK.unit(y, shares) == pytest.approx(constant)


def test_a_class_of_few_rows_has_no_roc_auc() -> None:
    y = np.array([0] * 100 + [1] * 100 + [2] * 19)
    p = np.full((219, 3), 1 / 3)
    p[:100, :2] += [[0.2, -0.2]]
    assert TASK.metrics(y, p, [0.4, 0.4, 0.2])["roc_auc"] == pytest.approx((1 + (100 / 119 + 19 / 238)) / 2, abs=0.2)
    assert TASK.lacking(y, GATE) == [("classes with 20 rows or more", 2, 2)]
    assert TASK.metrics(y[:5], p[:5], [0.4, 0.4, 0.2])["roc_auc"] is None


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([3], [[0.5, 0.25, 0.25]]),
        ([-1], [[0.5, 0.25, 0.25]]),
        ([0], [[0.5, 0.5, 0.5]]),
        ([0], [[np.nan, 0.5, 0.5]]),
        ([0], [[1.5, -0.5, 0]]),
    ],
)
def test_impossible_predictions_are_not_valid(y: list[int], p: list[list[float]]) -> None:
    assert TASK.are_valid(np.array([0]), np.array([[0.5, 0.25, 0.25]]))
    assert not TASK.are_valid(np.array(y), np.array(p))


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the margins of each row's classes, and classes drawn by them, with a level of each day's own."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0, 1.2, (DAYS * ROWS, 3))
    true = margins + np.repeat(rng.normal(0, 0.3, (DAYS, 3)), ROWS, axis=0)
    return margins, (true + rng.gumbel(size=true.shape)).argmax(axis=1)


def softmax(margins: np.ndarray) -> np.ndarray:
    p = np.exp(margins)
    return p / p.sum(axis=1, keepdims=True)


def judged(y: np.ndarray, ours: np.ndarray, theirs: np.ndarray | None, gate: Gate = GATE) -> Judgement:
    constant = (np.bincount(y, minlength=3) / len(y)).tolist()
    opponents = [] if theirs is None else [Opponent("incumbent", "old", theirs, 1)]
    holdout = Holdout(TASK, y, [len(y) // DAYS] * DAYS)
    return judge(Challenger("mlp", "new", ours, TASK.metrics(y, ours, constant), constant), opponents, holdout, gate, 3)


def test_floors_and_the_constant_forecast_can_refuse() -> None:
    margins, y = rows(1)
    p = softmax(margins)
    assert judged(y, p, None).verdict == "PROMOTE"
    shares = np.broadcast_to(np.bincount(y) / len(y), p.shape)
    found = judged(y, shares, None)
    assert found.verdict == "REJECT"
    assert "ROC AUC 0.5000, the floor is 0.6000" in found.reasons[0]
    assert "not below the" in found.reasons[1]
    strict = GATE.model_copy(update={"floors": Floors(rows=100, skill=0.9)})
    assert "the floor is 0.9000" in judged(y, p, None, strict).reasons[0]
    few = judged(np.zeros(len(y), dtype=np.int8), p, None)
    assert few.verdict == "HOLD"
    assert "the holdout has 1 classes with 20 rows or more, at least 2 are needed" in few.reasons[0]


def test_a_worse_model_is_rejected_and_a_better_one_is_promoted() -> None:
    margins, y = rows(1)
    noisy = softmax(margins + np.random.default_rng(2).normal(0, 0.9, margins.shape))
    better, worse = judged(y, softmax(margins), noisy), judged(y, noisy, softmax(margins))
    assert (better.verdict, worse.verdict) == ("PROMOTE", "REJECT")
    assert better.is_better
    assert "skill 0." in worse.reasons[0]
    assert "ROC AUC 0." in worse.reasons[0]
    assert better.comparisons[0].stored().keys() >= {"skill", "roc_auc", "rows", "decision"}


@cache
def noise_at_the_margin() -> float:
    """Return the noise that makes a model worse by the margin."""
    rng = np.random.default_rng(77)
    margins, extra = rng.normal(0, 1.2, (50_000, 3)), rng.normal(0, 1, (50_000, 3))
    y = (margins + rng.normal(0, 0.3, margins.shape) + rng.gumbel(size=margins.shape)).argmax(axis=1)
    unit = TASK.unit(y, (np.bincount(y) / len(y)).tolist())
    sizes = np.linspace(0, 2, 41)
    losses = [TASK.losses(y, softmax(margins + size * extra)).mean() for size in sizes]
    return float(np.interp(losses[0] + TASK.margin(GATE) * unit, losses, sizes))


def test_a_model_that_is_worse_by_the_margin_passes_by_chance_only() -> None:
    """The interval's bound is a test at 5 %. With seven days, chance allows it 9 of 100 times at most."""
    promoted = 0
    for trial in range(100):
        margins, y = rows(trial)
        extra = noise_at_the_margin() * np.random.default_rng([trial, 1]).normal(0, 1, margins.shape)
        promoted += judged(y, softmax(margins + extra), softmax(margins)).verdict == "PROMOTE"
    assert 0 <= promoted <= 9
