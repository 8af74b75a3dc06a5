"""The decision log in S3: one object, updated by compare-and-swap (If-Match), so that one of several concurrent runs wins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from perennial.errors import LostRaceError, RefusedError
from perennial.evaluate.chain import FORMAT, Chain, Entry, from_json, to_json
from perennial.lake.lake import Lake
from perennial.store import heads
from perennial.store.objects import Stored


def read_chain(lake: Lake) -> Chain:
    """Return the present decision log; it is empty for a pipeline without decisions."""
    return _parse(lake, lake.objects.read(lake.layout.chain))


def require_entry(lake: Lake, chain: Chain, day: date) -> Entry:
    """
    Return the decision of a date.

    :raises RefusedError: there is none; it names the dates that have one
    """
    if (entry := chain.get(day)) is not None:
        return entry
    known = f"Decisions exist for {chain.days[0]} to {chain.days[-1]}." if chain.entries else "There is none yet."
    raise RefusedError(f"Pipeline {lake.pipeline.name!r}: no decision for {day}", remedy=known)


def update_chain(lake: Lake, change: Callable[[Chain], Chain]) -> Chain:
    """
    Apply `change` to the decision log and return the new log; see `move_head`.

    Raise LostRaceError if other runs won every attempt.
    """
    changed = heads.move_head(lake.objects, lake.layout.chain, lambda stored: _parse(lake, stored), to_json, change)
    if changed is None:
        raise LostRaceError(
            f"{lake.layout.chain}: lost {heads.ATTEMPTS} races to update the decision log, "
            f"the last one to {_last_writer(read_chain(lake))}. Run it again when fewer runs decide at the same time."
        )
    return changed


def _parse(lake: Lake, stored: Stored | None) -> Chain:
    return Chain() if stored is None else heads.parse_head(lake.layout.chain, stored, FORMAT, from_json)


def _last_writer(chain: Chain) -> str:
    writes = [(entry.at, f"run {entry.run_id!r} of {day}") for day, entry in chain.entries.items()]
    writes += [(item.at, f"the intervention of {item.who!r} of {item.date}") for item in chain.interventions]
    return max(writes)[1] if writes else "an unknown writer"
