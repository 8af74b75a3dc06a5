"""
A confidence interval for the difference between two models: a studentised bootstrap over days, paired row by row. Pure.

A statistic is a smooth function of day weights (the number of times that each day was drawn). For each set of weights it
returns its estimate and its influence by day. The standard error is sqrt(D / (D - 1) * sum of squared influences).
Rows of one day share weather and traffic, so we draw days, not rows. See docs/adr/0006-the-promotion-gate.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from perennial.models.metrics import Floats
from perennial.models.sums import parts_of

Statistic = Callable[[Floats], tuple[Floats, Floats]]
"""Day weights (rounds, days) → estimates (rounds,) and influences (rounds, days)."""

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")

ROUNDS = 4000
CONFIDENCE = 0.90
NO_SPREAD = 1e-12
"""Maximum standard error that counts as zero: it is rounding noise of equal days."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two-sided interval. A bound that the data cannot give is infinite."""

    low: float
    mid: float
    high: float


def mean_difference(sums: Floats, counts: Floats) -> Statistic:
    """Return the statistic 'mean over all rows' from the sum and the count of each day."""

    def statistic(weights: Floats) -> tuple[Floats, Floats]:
        rows = weights @ counts
        estimate = (weights @ sums) / rows
        return estimate, (sums - estimate[:, None] * counts) / rows[:, None]

    return statistic


def auc_difference(wins: Floats, positives: Floats, negatives: Floats) -> Statistic:
    """
    Return the statistic 'difference of ROC AUC over all rows'.

    :param wins: (days, days); the number of pairs (positive of day i, negative of day j) that one model orders correctly, minus
        the number of the other model
    :param positives: positives of each day
    :param negatives: negatives of each day
    """

    def statistic(weights: Floats) -> tuple[Floats, Floats]:
        p, n = weights @ positives, weights @ negatives
        as_positive, as_negative = weights @ wins.T, weights @ wins
        estimate = np.einsum("bd,bd->b", weights, as_positive) / (p * n)
        expected = estimate[:, None] * (n[:, None] * positives + p[:, None] * negatives)
        return estimate, (as_positive + as_negative - expected) / (p * n)[:, None]

    return statistic


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """Return the mean of some statistics of the same days, such as the ROC AUC of each class. Its influence is their mean."""
    if len(statistics) == 1:
        return statistics[0]

    def statistic(weights: Floats) -> tuple[Floats, Floats]:
        estimates, influences = zip(*(each(weights) for each in statistics), strict=True)
        return np.mean(estimates, axis=0), np.mean(influences, axis=0)

    return statistic


def ordered_pairs(days: Sequence[tuple[Floats, Floats]]) -> Floats:
    """
    Count the pairs (positive of day i, negative of day j) in order of probability: (days, days). A tie counts one half.

    :param days: the sorted probabilities of the negatives and of the positives of each day
    """
    wins = np.zeros((len(days), len(days)))
    for i, (_, positives) in enumerate(days):
        for j, (negatives, _) in enumerate(days):
            twice = 0
            for part in parts_of(len(positives)):
                for side in SIDES:
                    twice += int(np.searchsorted(negatives, positives[part], side=side).sum())
            wins[i, j] = twice / 2
    return wins


def interval(statistic: Statistic, days: int, seed: int, rounds: int = ROUNDS, confidence: float = CONFIDENCE) -> Interval:
    """
    Return the studentised bootstrap interval of a statistic over `days` days.

    One day says nothing about spread, so both bounds are infinite. Equal days have no spread, so both bounds are the estimate.
    A draw in which the statistic is undefined (no positive drawn) widens the interval on both sides.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        estimates, influences = statistic(np.ones((1, days)))
    mid = float(estimates[0])
    error = float(_errors(np.ones((1, days)), influences, days)[0]) if days > 1 else np.inf
    if not np.isfinite(error):
        return Interval(-np.inf, mid, np.inf)
    if error <= NO_SPREAD:
        return Interval(mid, mid, mid)
    weights = np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=rounds).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn, influences = statistic(weights)
        errors = _errors(weights, influences, days)
        shift = np.where(np.abs(drawn - mid) <= NO_SPREAD, 0.0, drawn - mid)
        t = np.where(errors > NO_SPREAD, shift / errors, np.where(shift == 0, 0.0, np.sign(shift) * np.inf))
    tail = (1 - confidence) / 2
    upper = np.quantile(np.where(np.isnan(t), np.inf, t), 1 - tail, method="higher")
    lower = np.quantile(np.where(np.isnan(t), -np.inf, t), tail, method="lower")
    return Interval(mid - error * float(upper), mid, mid - error * float(lower))


def _errors(weights: Floats, influences: Floats, days: int) -> Floats:
    """Return the standard error of each draw: the spread of the influences of the drawn days."""
    return np.asarray(np.sqrt(days / (days - 1) * np.einsum("bd,bd->b", weights, influences**2)))
