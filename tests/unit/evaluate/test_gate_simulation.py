"""How often the gate errs: simulated holdouts of seven days, day effects and row noise as the demo's models show them."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from perennial.evaluate.bootstrap import interval, mean_difference
from perennial.evaluate.comparison import by_rule

pytestmark = pytest.mark.exhaustive

MARGIN, DAYS = 0.02, 7
DAY_SPREAD = 0.015  # of the paired difference of two models' log loss from day to day
ROW_SPREAD = 0.15
NOMINAL = 0.05


def share_of_promotions(gain: float, trials: int = 150, spread: float = DAY_SPREAD) -> float:
    """Return how often a challenger whose true gain in log loss is `gain` is promoted."""
    rng = np.random.default_rng(0)
    promoted = 0
    for trial in range(trials):
        rows = rng.integers(700, 1000, DAYS).astype(np.float64)
        gains = gain + rng.normal(0, spread, DAYS) + rng.normal(0, ROW_SPREAD, DAYS) / np.sqrt(rows)
        promoted += by_rule(interval(mean_difference(gains * rows, rows), DAYS, trial, rounds=2000), MARGIN) == "PROMOTE"
    return promoted / trials


def most_by_chance(rate: float, trials: int, chance: float = 0.001) -> float:
    """Return the share of successes that an event of this rate exceeds with less than this chance."""
    above = 1.0
    for count in range(trials + 1):
        above -= comb(trials, count) * rate**count * (1 - rate) ** (trials - count)
        if above < chance:
            return count / trials
    return 1.0


def test_a_challenger_worse_by_the_margin_is_promoted_no_more_often_than_nominal():
    """The worst case of the null hypothesis: worse by exactly the margin. Monte-Carlo error allowed for."""
    assert share_of_promotions(-MARGIN, trials=600) <= most_by_chance(NOMINAL, 600)


def test_a_challenger_worse_than_the_margin_is_hardly_ever_promoted():
    assert share_of_promotions(-2 * MARGIN) <= 0.01


def test_an_equal_challenger_is_mostly_promoted():
    assert share_of_promotions(0.0) >= 0.75


def test_a_better_challenger_is_promoted_nearly_always():
    assert share_of_promotions(MARGIN) >= 0.98
