"""The studentised day bootstrap: right centre, honest width, and every degenerate case."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from perennial.evaluate.bootstrap import auc_difference, interval, mean_difference, ordered_pairs

SEED = 7


def means(values: list[float], rows: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    counts = np.full(len(values), rows)
    return np.array(values) * counts, counts


def test_the_estimate_is_the_mean_over_all_rows():
    found = interval(mean_difference(np.array([10.0, 0.0]), np.array([10.0, 90.0])), 2, SEED)
    assert found.mid == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_interval():
    statistic = mean_difference(*means([0.01, 0.02, -0.01, 0.03, 0.0, 0.01, 0.02]))
    assert interval(statistic, 7, SEED) == interval(statistic, 7, SEED)
    assert interval(statistic, 7, SEED) != interval(statistic, 7, SEED + 1)


def test_seven_days_give_a_wider_interval_than_the_normal_one():
    values = [0.01, 0.02, -0.01, 0.03, 0.0, 0.01, 0.02]
    found = interval(mean_difference(*means(values)), 7, SEED)
    error = np.std(values, ddof=1) / np.sqrt(7)
    assert found.mid - found.low > 1.645 * error
    assert found.low < found.mid < found.high


def test_one_day_tells_nothing_about_spread():
    found = interval(mean_difference(*means([0.5])), 1, SEED)
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_two_days_are_not_enough_for_a_bound():
    found = interval(mean_difference(*means([0.1, 0.2])), 2, SEED)
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_equal_days_have_no_spread():
    found = interval(mean_difference(*means([0.01] * 7)), 7, SEED)
    assert found.low == found.mid == found.high == pytest.approx(0.01)


def test_identical_models_differ_by_exactly_nothing():
    found = interval(mean_difference(*means([0.0] * 7)), 7, SEED)
    assert (found.low, found.mid, found.high) == (0.0, 0.0, 0.0)


def by_day(y: np.ndarray, p: np.ndarray, day: np.ndarray, days: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.sort(p[(day == d) & (y == 0)]), np.sort(p[(day == d) & (y == 1)])) for d in range(days)]


def test_ordered_pairs_give_the_roc_auc():
    rng = np.random.default_rng(1)
    y, p, day = rng.integers(0, 2, 500), np.round(rng.random(500), 2), rng.integers(0, 5, 500)  # rounded: with ties
    assert ordered_pairs(by_day(y, p, day, 5)).sum() / (y.sum() * (1 - y).sum()) == pytest.approx(roc_auc_score(y, p))


def test_weighted_auc_equals_the_auc_of_repeated_days_and_its_influence_is_its_derivative():
    rng = np.random.default_rng(2)
    y, p, day = rng.integers(0, 2, 300), rng.random(300), rng.integers(0, 3, 300)
    positives = np.bincount(day[y == 1], minlength=3).astype(float)
    negatives = np.bincount(day[y == 0], minlength=3).astype(float)
    statistic = auc_difference(ordered_pairs(by_day(y, p, day, 3)), positives, negatives)
    weights = np.array([[2.0, 0.0, 1.0]])
    rows = np.concatenate([np.flatnonzero(day == 0), np.flatnonzero(day == 0), np.flatnonzero(day == 2)])
    estimate, influence = statistic(weights)
    assert estimate[0] == pytest.approx(roc_auc_score(y[rows], p[rows]))
    step = 1e-6
    for index in range(3):
        moved = weights.copy()
        moved[0, index] += step
        assert influence[0, index] == pytest.approx((statistic(moved)[0][0] - estimate[0]) / step, abs=1e-4)


def test_draws_without_a_positive_widen_the_interval_instead_of_vanishing():
    # All positives on one of seven days: a third of the draws has none.
    positives, negatives = np.array([50.0, 0, 0, 0, 0, 0, 0]), np.full(7, 50.0)
    wins = np.zeros((7, 7))
    wins[0] = 100 + np.arange(7)
    found = interval(auc_difference(wins, positives, negatives), 7, SEED)
    assert (found.low, found.high) == (-np.inf, np.inf)
