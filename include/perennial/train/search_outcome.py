"""The outcome of a search as it is stored: its result, or the record that a limit of CPU seconds stopped it."""

from __future__ import annotations

from typing import Any

from perennial.store.objects import Objects

MIN_DATES = 3
"""Dates to judge trials on. With fewer, a standard error over the dates tells nothing."""


def stopped_address(result: str, cpu_seconds: int) -> str:
    """
    Return the address of the record that a search was stopped at a limit of CPU seconds.

    How far a search gets in a time is not reproducible, so this is never the address of its result.
    """
    return f"{result.removesuffix('.json')}.stopped-{cpu_seconds}.json"


def read_outcome(objects: Objects, result: str, cpu_seconds: int) -> Any:
    """Return the result of a search or, if it was stopped at this limit, the record of that. None: it has not ended."""
    for address in (result, stopped_address(result, cpu_seconds)):
        if (stored := objects.read(address)) is not None:
            return stored.json()
    return None
