"""Dates whose drop collect or clean refuses. These dates wait for nothing, and no date waits for them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from perennial.clean.plan import clean_refusals
from perennial.collect.accept import is_refused
from perennial.collect.drops import is_landed, landed_drops
from perennial.lake.lake import Lake


def refused_dates(lake: Lake, wanted: Iterable[date]) -> dict[date, str]:
    """
    Return the dates that have a landed drop which is refused in its present state, each with the reason.

    A drop that no run has read is not refused.
    """
    wanted = list(wanted)
    refused: dict[date, str] = {}
    for name in lake.pipeline.sources:
        landed = landed_drops(lake, name, wanted)
        prefix = lake.layout.refusals(name)
        recorded = {item.uri.removeprefix(prefix).partition("/")[0] for item in lake.objects.listing(prefix)} if landed else set()
        unaccepted = [
            day
            for day, item in landed.items()
            if item.drop is None
            # Without any record of the date, only its manifest can be wrong: one request in place of three.
            and (is_refused(lake, name, day, item.found) if str(day) in recorded else not is_landed(lake, name, day))
        ]
        refused |= dict.fromkeys(unaccepted, f"its drop of {name} is refused")
        accepted = {day: item.drop for day, item in landed.items() if item.drop is not None}
        refused |= dict.fromkeys(clean_refusals(lake, name, accepted), f"its drop of {name} is refused for its rows")
    return dict(sorted(refused.items()))
