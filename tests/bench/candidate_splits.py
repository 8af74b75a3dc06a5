"""Splits of a data set into rows to train on and rows to judge by: rolling and growing windows of time, or seeded draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]

TRAIN_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Split:
    """The places of rows. Those to train on are in order of time, or in the order in which they were drawn."""

    train: Places
    test: Places


def random_splits(rows: int, folds: int, max_rows: int | None = None) -> list[Split]:
    """Draw 70 % of the rows to train on, and the others to judge by; `max_rows` takes a sample of the rows first."""
    splits = []
    for seed in range(folds):
        drawn = np.random.default_rng(seed).permutation(rows)[:max_rows]
        end = int(TRAIN_SHARE * len(drawn))
        splits.append(Split(drawn[:end], np.sort(drawn[end:])))
    return splits


def rolling_splits(times: Places, starts: Sequence[int], train: int, test: int, delay: int = 0) -> list[Split]:
    """
    Train on a window before each start, and judge by a window from it on.

    :param times: the time of each row, which never falls
    :param train: the length of the window to train on, in units of the times
    :param test: the length of the window to judge by
    :param delay: how long after a row its label is known: later rows of the window are not trained on
    """
    splits = []
    for start in starts:
        begin, known, now, end = np.searchsorted(times, [start - train, start - delay, start, start + test])
        splits.append(Split(np.arange(begin, known), np.arange(now, end)))
    return splits


def growing_splits(times: Places, folds: int) -> list[Split]:
    """Judge by blocks of equal rows in the later half, each after training on all rows before. A block begins with a new time."""
    limits = times[np.linspace(len(times) / 2, len(times) - 1, folds, endpoint=False).astype(int)]
    begins = np.searchsorted(times, limits)
    ends = [*begins[1:], len(times)]
    return [Split(np.arange(begin), np.arange(begin, end)) for begin, end in zip(begins, ends, strict=True)]
