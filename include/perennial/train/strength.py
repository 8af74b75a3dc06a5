"""The strength of a window: boosted trees are larger, and their leaves smaller, where its rows have more to teach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from perennial.train.target import Target

WEAK, MIDDLE = 3_000, 20_000
"""Strengths below which trees are small, or of middle size: chosen on nine sets of 400 to 7,000 rows."""


def strength_of(rows: int, target: Target) -> float:
    """Return how much the rows of a window can tell: their number, of classes times 1 for equal ones and less for a rare one."""
    if not target.is_classes:
        return float(rows)
    shares = np.atleast_1d(target.constant)
    if len(shares) == 1:
        return rows * 4 * float(shares[0] * (1 - shares[0]))
    return rows * (1 - float((shares**2).sum())) * target.outputs / (target.outputs - 1)
