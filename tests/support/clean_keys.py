"""The fingerprints that clean's partitions have after a run."""

from __future__ import annotations

from datetime import date

from perennial.clean.plan import prepare_fingerprints
from perennial.collect.drops import landed_drops, pinned_reference
from perennial.fingerprints.fingerprint import Fingerprint
from perennial.lake.lake import Lake


def clean_keys(lake: Lake, name: str, day: date, until: date) -> dict[date | None, Fingerprint]:
    """Return the fingerprints of a table's accepted drops (None: the reference) for the runs of `day` up to `until`."""
    make = prepare_fingerprints(lake, name)
    if name in lake.pipeline.references:
        drop = pinned_reference(lake, name)
        assert drop is not None
        return {None: make(None, drop)}
    landed = landed_drops(lake, name, lake.pipeline.calendar.needed_dates(day, until))
    return {d: make(d, item.drop) for d, item in landed.items() if item.drop is not None}
