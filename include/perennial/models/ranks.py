"""The order of probabilities, and the metrics that depend on it alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from perennial.models.sums import parts_of

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]
Group = tuple[Counts, Counts]
"""Positives and negatives of some probabilities, each of them once, in ascending order."""


def rank(y: NDArray[np.integer], p: NDArray[np.float64]) -> Keys:
    """
    Return the rows in ascending order of p, each as one number: the bits of p, then y.

    The bits of two floats that are not negative compare as the floats do. p below 2 has a bit to spare.
    """
    if not (len(p) == 0 or (p.min() >= 0 and p.max() <= 1)):
        raise ValueError("a probability is missing or outside 0..1")
    keys = (np.asarray(p, dtype=np.float64) + 0.0).view(np.uint64)  # + 0.0: the bits of -0.0 are those of a large number
    np.left_shift(keys, 1, out=keys)
    np.bitwise_or(keys, y.astype(np.uint8), out=keys)
    keys.sort()
    return keys


def probabilities(keys: Keys) -> NDArray[np.float64]:
    """Return the probabilities of ranked rows."""
    return (keys >> np.uint64(1)).view(np.float64)


def count_positives(keys: Keys) -> int:
    """Return the number of positives of ranked rows."""
    return sum(int(np.count_nonzero(keys[part] & np.uint64(1))) for part in parts_of(len(keys)))


def groups(keys: Keys) -> Iterator[Group]:
    """Yield the counts of the probabilities of ranked rows, in parts."""
    held: tuple[np.uint64, int, int] | None = None  # the last probability of a part may continue in the next one
    for part in parts_of(len(keys)):
        values, positive = keys[part] >> np.uint64(1), (keys[part] & np.uint64(1)).astype(np.int64)
        begins = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
        positives = np.add.reduceat(positive, begins)
        negatives = np.diff(begins, append=len(values)) - positives
        if held is not None and held[0] == values[0]:
            positives[0] += held[1]
            negatives[0] += held[2]
        elif held is not None:
            yield np.array([held[1]]), np.array([held[2]])
        yield positives[:-1], negatives[:-1]
        held = values[-1], int(positives[-1]), int(negatives[-1])
    if held is not None:
        yield np.array([held[1]]), np.array([held[2]])


def roc_auc(ranked: Iterable[Group], positives: int, negatives: int) -> float | None:
    """Return the share of pairs of a positive and a negative that are in order, or None if only one class occurs."""
    if not (positives and negatives):
        return None
    wins, below = 0, 0  # twice the pairs in order: a tie counts one half
    for some, others in ranked:
        lower = below + np.cumsum(others) - others
        wins += int((some * (2 * lower + others)).sum())
        below += int(others.sum())
    return wins / (2 * positives * negatives)


def average_precision(ranked: Iterable[Group], positives: int, negatives: int) -> float | None:
    """Return the mean precision at the positives, or None if only one class occurs."""
    if not (positives and negatives):
        return None
    total, above, others_above = 0.0, positives, negatives
    for some, others in ranked:
        hits = above - (np.cumsum(some) - some)
        total += float(np.sum(some * (hits / (hits + others_above - (np.cumsum(others) - others)))))
        above, others_above = above - int(some.sum()), others_above - int(others.sum())
    return total / positives
