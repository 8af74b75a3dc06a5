"""The names of partitions: the ISO date, or `reference` for a reference, which every date uses."""

from __future__ import annotations

from datetime import date

Day = date | None
"""The day of a partition; None: a reference."""

REFERENCE = "reference"
"""The name of a reference's only partition."""


def day_text(day: Day) -> str:
    """Return the name of the partition of a day."""
    return day.isoformat() if day else REFERENCE


def read_day(text: str) -> Day:
    """Return the day of a partition by its name."""
    return None if text == REFERENCE else date.fromisoformat(text)
