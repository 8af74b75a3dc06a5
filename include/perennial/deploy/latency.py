"""Is a server slower than its bound? Judged so that one hiccup of a busy machine does not refuse a good release. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

SHARE = 0.01
"""A p99 bound allows one request in a hundred above it."""

CHANCE = 0.001
"""How rarely a server that keeps its bound may be refused."""


def too_slow(latencies_ms: Sequence[float], p99_ms: float, chance: float = CHANCE) -> str | None:
    """
    Return what was found against the bound, or None.

    With few requests the empirical p99 is the single slowest one. So the count above the bound is judged: it is refused when a
    server with a p99 at the bound would show that many with less than the given chance, one in a thousand.
    """
    above = sum(value > p99_ms for value in latencies_ms)
    if above == 0 or _chance_of_at_least(above, len(latencies_ms)) >= chance:
        return None
    median = sorted(latencies_ms)[len(latencies_ms) // 2]
    return f"{above} of {len(latencies_ms)} requests took longer than {p99_ms:g} ms (median {median:.1f} ms, slowest {max(latencies_ms):.1f} ms)"


def _chance_of_at_least(count: int, of: int) -> float:
    return 1.0 - sum(math.comb(of, k) * SHARE**k * (1 - SHARE) ** (of - k) for k in range(count))
