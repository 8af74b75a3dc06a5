"""The choice of some rows of a window: those whose hash lies below a bound, so a larger sample holds the smaller."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.lake.sample import ALL, limit_for
from perennial.train.job import Sample


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of the hash below which a row is chosen, by its label."""

    negative: int = ALL
    positive: int = ALL

    @property
    def largest(self) -> int:
        """Return the bound above which no row is chosen."""
        return max(self.negative, self.positive)

    @property
    def log_odds(self) -> float:
        """Return the logarithm by which the odds of a positive row are higher in the sample than in the window."""
        return math.log(self.positive / self.negative)

    def choose(self, hashes: NDArray[np.int32], y: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Return whether each row is chosen."""
        return np.asarray(hashes < np.where(y == 1, self.positive, self.negative), dtype=np.bool_)

    def spread(self, hashes: NDArray[np.int32], y: NDArray[np.int8]) -> NDArray[np.int64]:
        """
        Return the hashes of chosen rows, spread over all values that a hash may have, in the same order for each label.

        Those of a sample lie below its bounds: all of its rows, or all of one label, would be in its first bucket.
        """
        return hashes.astype(np.int64) * ALL // np.where(y == 1, self.positive, self.negative)


ALL_ROWS = Bounds()


@dataclass(frozen=True, slots=True)
class Classes:
    """The number of rows of each label."""

    negatives: int
    positives: int


def choose_uniform(sample: Sample, rows: int) -> Bounds:
    """Return the bounds that choose each row with the same chance."""
    bound = limit_for(sample.max_rows, rows)
    return Bounds(bound, bound)


def choose_balanced(sample: Sample, classes: Classes) -> Bounds:
    """
    Return the bounds that choose half of the sample from the rarer class, and as many rows of the other as are left.

    A model that is fitted to the sample gets its probabilities right by a shift of its last bias, `-log_odds`.
    """
    rarer, other = sorted((classes.negatives, classes.positives))
    of_rarer = min(rarer, sample.max_rows // 2)
    rare, common = limit_for(of_rarer, rarer), limit_for(sample.max_rows - of_rarer, other)
    return Bounds(rare, common) if classes.negatives <= classes.positives else Bounds(common, rare)
