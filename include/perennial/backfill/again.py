"""The choice of dates that a backfill runs again. A module of its own, because the command line must import little."""

from __future__ import annotations

from enum import StrEnum


class Again(StrEnum):
    """The dates that run again although they have run before."""

    ALL = "all"
    FAILED = "failed"
    MISSING = "missing"
    STALE = "stale"
