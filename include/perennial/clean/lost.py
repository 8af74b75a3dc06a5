"""A summary of the history that the present contract refuses, in collect or for its rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

from perennial.clean.plan import row_refusals
from perennial.collect.accept import refused_problems
from perennial.collect.drops import THREADS, landed_drops, landed_headers, unfit_drops
from perennial.collect.lost import count_refused
from perennial.lake.lake import Lake


def lost_history(lake: Lake, day: date) -> list[str]:
    """Count the landed dates that `day` needs and the present contract refuses, by cause, with what to declare."""
    texts: list[str] = []
    for source in lake.pipeline.sources:
        needed = lake.pipeline.calendar.needed_dates(day)
        landed = landed_drops(lake, source, needed)
        unread = [d for d, item in landed.items() if item.drop is None]
        with ThreadPoolExecutor(THREADS) as pool:
            problems = list(pool.map(lambda d: refused_problems(lake, source, d, landed[d].found), unread))  # noqa: B023
        refused = dict(zip(unread, problems, strict=True))
        refused |= unfit_drops(lake, source, needed)
        refused |= {d: refusal.rule_causes() for d, refusal in row_refusals(lake, source, needed).items()}
        refused = {d: causes for d, causes in refused.items() if causes}
        texts += count_refused(source, lake.pipeline.sources[source], refused, landed_headers(lake, source, needed))
    return texts
