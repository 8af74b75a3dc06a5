"""Drops that have landed and that no run has looked at yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from perennial.collect.accept import is_refused
from perennial.collect.drops import landed_drops
from perennial.lake.lake import Lake


def uncollected_dates(lake: Lake, source: str, wanted: Iterable[date]) -> list[date]:
    """Return, in order, the dates of a source whose drop has landed and is neither accepted nor refused as it stands now."""
    landed = landed_drops(lake, source, wanted)
    return [day for day, one in landed.items() if one.drop is None and not is_refused(lake, source, day, one.found)]
