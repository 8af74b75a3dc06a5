"""The choice of a parameter by the window's last dates, from a cautious value upwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from perennial.models.metrics import Floats

T = TypeVar("T")


def climb(steps: Sequence[T], losses_at: Callable[[T], Floats]) -> T:
    """
    Go from a step to the next as long as that gains more than a standard error, and return the last one.

    :param losses_at: returns the losses on rows of the window's last dates of a fit without them, at a step
    """
    at, *others = steps
    before = losses_at(at)
    for step in others:
        after = losses_at(step)
        gains = before - after
        if gains.mean() <= gains.std(ddof=1) / math.sqrt(len(gains)):
            break
        at, before = step, after
    return at
