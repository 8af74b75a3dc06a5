"""Check whether a server is slower than its limit, so that one hiccup of a busy machine does not fail a good release. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

SHARE = 0.01
"""The share of requests that a p99 limit allows above it: one in a hundred."""

CHANCE = 0.001
"""The maximum probability of failing a server that is within its limit."""


def too_slow(latencies_ms: Sequence[float], p99_ms: float, chance: float = CHANCE) -> str | None:
    """
    Describe how the latencies exceed the limit, or return None.

    With few requests, the empirical p99 is the single slowest one. So we judge the number of requests above the limit.
    It is too high if a server whose p99 is exactly the limit would reach it with a probability below `chance`, one in a thousand.
    """
    above = sum(value > p99_ms for value in latencies_ms)
    if above == 0 or _chance_of_at_least(above, len(latencies_ms)) >= chance:
        return None
    median = sorted(latencies_ms)[len(latencies_ms) // 2]
    return (
        f"{above} of {len(latencies_ms)} requests took longer than {p99_ms:g} ms "
        f"(median {median:.1f} ms, slowest {max(latencies_ms):.1f} ms)"
    )


def _chance_of_at_least(count: int, of: int) -> float:
    return 1.0 - sum(math.comb(of, k) * SHARE**k * (1 - SHARE) ** (of - k) for k in range(count))
