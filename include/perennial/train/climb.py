"""The choice of a parameter by the window's last dates, from a cautious value upwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from perennial.models.metrics import Floats

T = TypeVar("T")


def climb(steps: Sequence[T], losses_at: Callable[[T], Floats]) -> T:
    """
    Go from a step to the next as long as that gains more than a standard error, and return the last one.

    Losses that are not finite gain nothing; any others gain on them.

    :param losses_at: fits at a step without the window's last dates, and returns the losses of their rows
    """
    at, *others = steps
    before = losses_at(at)
    for step in others:
        after = losses_at(step)
        if not _gains(before, after):
            break
        at, before = step, after
    return at


def _gains(before: Floats, after: Floats) -> bool:
    if not np.isfinite(after).all():
        return False
    if not np.isfinite(before).all():
        return True
    gains = before - after
    return bool(gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains)))
