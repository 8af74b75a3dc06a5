"""A tally has the metrics of all rows at once, however they are added."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.config.pipeline import BinaryLabel
from perennial.models.metrics import log_loss, roc_auc
from perennial.report import tally
from perennial.report.tally import Pool, Tally
from perennial.tasks.task import task_of

TASK = task_of(BinaryLabel(column="late"))


def drawn(rows: int, seed: int = 0, digits: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    p = chance.random(rows).astype(np.float32).astype(np.float64)
    p = p if digits is None else np.round(p, digits).astype(np.float32).astype(np.float64)
    return (chance.random(rows) < p).astype(np.int8), p


@pytest.mark.parametrize("digits", [None, 1], ids=["few ties", "many ties"])
def test_parts_give_the_metrics_of_all_rows(digits: int | None) -> None:
    y, p = drawn(5_000, digits=digits)
    whole, divided, days = Tally(TASK), Tally(TASK), Tally(TASK)
    whole.add(y, p)
    for begin in range(0, 5_000, 700):
        part, day = slice(begin, begin + 700), Tally(TASK)
        divided.add(y[part], p[part])
        day.add(y[part], p[part])
        days.add_tally(day)
    assert whole.score.roc_auc == divided.score.roc_auc == days.score.roc_auc == roc_auc(y, p)
    assert [t.score.loss for t in (whole, divided, days)] == pytest.approx([log_loss(y, p)] * 3, abs=1e-14)


@pytest.mark.parametrize("merged", [0, 100_000], ids=["merged at once", "merged late"])
def test_beyond_the_maximum_of_values_neighbours_are_ties(monkeypatch: pytest.MonkeyPatch, merged: int) -> None:
    y, p = drawn(100_000)
    monkeypatch.setattr(tally, "MAX_VALUES", 1 << 12)
    monkeypatch.setattr(tally, "MIN_MERGED", merged)
    found, day = Tally(TASK), Tally(TASK)
    found.add(y[:60_000], p[:60_000])
    day.add(y[60_000:], p[60_000:])
    found.add_tally(day)
    assert found.rows == 100_000
    assert found.score.roc_auc != roc_auc(y, p)
    assert found.score.roc_auc == pytest.approx(roc_auc(y, p), abs=1e-5)


def test_rows_of_one_class_have_no_roc_auc() -> None:
    found = Tally(TASK)
    found.add(np.ones(3, dtype=np.int8), np.array([0.1, 0.2, 0.3]))
    assert found.score.roc_auc is None


def test_a_pool_compares_series_by_date() -> None:
    pool, losses = Pool(), []
    for seed in range(5):
        series = {}
        for name, bend in (("straight", 1.0), ("bent", 3.0)):
            y, p = drawn(300, seed)
            series[name] = Tally(TASK)
            series[name].add(y, p**bend)
            losses.append(log_loss(y, p**bend))
        pool.add(series)
    found = pool.difference("straight", "bent")
    assert found.mid == pytest.approx(np.mean(losses[1::2]) - np.mean(losses[::2]))
    assert 0 < found.low < found.mid < found.high
    same = pool.difference("straight", "straight")
    assert (same.low, same.mid, same.high) == (0.0, 0.0, 0.0)
