"""History that the present contract refuses, by collect or for its rows, in numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

from perennial.clean.plan import row_refusals
from perennial.collect.accept import refused_problems
from perennial.collect.drops import THREADS, landed_drops
from perennial.collect.lost import count_refused
from perennial.lake.lake import Lake


def lost_history(lake: Lake, day: date) -> list[str]:
    """Return in numbers which of the landed dates that `day` needs are refused by the present contract, and what to declare."""
    found: list[str] = []
    for source in lake.pipeline.sources:
        landed = landed_drops(lake, source, lake.pipeline.calendar.needed_dates(day))
        unread = [d for d, one in landed.items() if one.drop is None]
        with ThreadPoolExecutor(THREADS) as pool:
            problems = list(pool.map(lambda d: refused_problems(lake, source, d, landed[d].found), unread))  # noqa: B023
        refused = dict(zip(unread, problems, strict=True))
        refused |= {d: one.rule_causes() for d, one in row_refusals(lake, source, day).items()}
        found += count_refused(source, {d: causes for d, causes in refused.items() if causes}, landed)
    return found
