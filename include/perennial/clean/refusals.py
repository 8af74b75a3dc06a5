"""Dates whose drop is refused, by collect or by cleaning: such a date waits for nothing, and no date waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from perennial.clean.plan import clean_refusals
from perennial.collect.accept import is_refused
from perennial.collect.drops import landed_drops
from perennial.lake.lake import Lake


def refused_dates(lake: Lake, wanted: Iterable[date]) -> dict[date, str]:
    """Return the dates of which a landed drop is refused as it is now, each with the reason. A drop that no run has read is not refused."""
    wanted = list(wanted)
    refused: dict[date, str] = {}
    for name in lake.pipeline.sources:
        landed = landed_drops(lake, name, wanted)
        unaccepted = [day for day, one in landed.items() if one.drop is None and is_refused(lake, name, day, one.found)]
        refused |= dict.fromkeys(unaccepted, f"its drop of {name} is refused")
        accepted = {day: one.drop for day, one in landed.items() if one.drop is not None}
        refused |= dict.fromkeys(clean_refusals(lake, name, accepted), f"its drop of {name} is refused for its rows")
    return dict(sorted(refused.items()))
