"""Dates whose drop is refused, by collect or by cleaning: such a date waits for nothing, and no date waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from perennial.clean.plan import clean_refusal
from perennial.collect.accept import is_refused
from perennial.collect.drops import landed_drops
from perennial.lake.lake import Lake


def refused_dates(lake: Lake, wanted: Iterable[date]) -> dict[date, str]:
    """Return the dates of which a landed drop is refused as it is now, each with the reason. A drop that no run has read is not refused."""
    wanted = list(wanted)
    refused: dict[date, str] = {}
    for name in lake.pipeline.sources:
        for day, landed in landed_drops(lake, name, wanted).items():
            if landed.drop is None:
                if is_refused(lake, name, day, landed.found):
                    refused[day] = f"its drop of {name} is refused"
            elif clean_refusal(lake, name, day, landed.drop):
                refused[day] = f"its drop of {name} is refused for its rows"
    return dict(sorted(refused.items()))
