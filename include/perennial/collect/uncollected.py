"""Drops that have landed and that no run has checked yet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from perennial.collect.accept import is_refused
from perennial.collect.drops import landed_drops
from perennial.lake.lake import Lake


def uncollected_dates(lake: Lake, source: str, wanted: Iterable[date]) -> list[date]:
    """Return, in order, the dates of a source with a landed drop that, in its present state, is neither accepted nor refused."""
    landed = landed_drops(lake, source, wanted)
    return [day for day, item in landed.items() if item.drop is None and not is_refused(lake, source, day, item.found)]
