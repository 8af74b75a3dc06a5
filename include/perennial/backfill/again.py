"""The choice that a backfill has about dates that ran before; apart, since the command line must stay light."""

from __future__ import annotations

from enum import StrEnum


class Again(StrEnum):
    """Which dates that have run before run again."""

    ALL = "all"
    FAILED = "failed"
    MISSING = "missing"
    STALE = "stale"
