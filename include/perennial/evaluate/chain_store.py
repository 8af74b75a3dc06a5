"""The chain's head in S3: one object, moved by If-Match, so that concurrent runs end with one winner."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from perennial.errors import LostRaceError, OutcomeUnknownError
from perennial.evaluate.chain import FORMAT, Chain, from_json, to_json
from perennial.lake.heads import parse_head
from perennial.lake.lake import Lake
from perennial.lake.objects import canonical_json

ATTEMPTS = 12
PAUSE_SECONDS = 0.05


def read_chain(lake: Lake) -> Chain:
    """Return the chain as it stands now; a pipeline without decisions has an empty one."""
    return _read(lake)[0]


def update_chain(lake: Lake, change: Callable[[Chain], Chain]) -> Chain:
    """
    Apply `change` to the chain and return what stands then.

    `change` is called again on the newer chain each time another run was first; it may raise to give up. A change that
    changes nothing is not written.
    """
    for attempt in range(ATTEMPTS):
        chain, etag = _read(lake)
        changed = change(chain)
        if changed == chain:
            return chain
        try:
            if lake.objects.replace(lake.layout.chain, canonical_json(to_json(changed)), etag) is not None:
                return changed
        except OutcomeUnknownError:
            if attempt == ATTEMPTS - 1:
                raise
        # Another run moved the head: back off by a random while, or two would meet again and again.
        time.sleep(PAUSE_SECONDS * (1 + random.random()) * (attempt + 1))  # noqa: S311
    raise LostRaceError(
        f"{lake.layout.chain}: lost {ATTEMPTS} races for the head of the chain, the last one to {_last_writer(_read(lake)[0])}. "
        "Run it again when fewer runs decide at once."
    )


def _read(lake: Lake) -> tuple[Chain, str | None]:
    stored = lake.objects.read(lake.layout.chain)
    if stored is None:
        return Chain(), None
    return parse_head(lake.layout.chain, stored, FORMAT, from_json), stored.etag


def _last_writer(chain: Chain) -> str:
    writes = [(entry.at, f"run {entry.run_id!r} of {day}") for day, entry in chain.entries.items()]
    writes += [(item.at, f"the intervention of {item.who!r} of {item.date}") for item in chain.interventions]
    return max(writes)[1] if writes else "nobody"
