"""The work that waits for a run: what has landed, and what clean or analyse would compute or withdraw again. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from perennial.analyse.plan import LABELS, unanalysed_days
from perennial.clean.plan import uncleaned_days
from perennial.collect.drops import landed_reference
from perennial.collect.uncollected import uncollected_dates
from perennial.lake.days import REFERENCE
from perennial.lake.lake import Lake


@dataclass(frozen=True, slots=True)
class Change:
    """A day of a table whose content would change; day None: a reference, which every date uses."""

    table: str
    day: date | None

    def __str__(self) -> str:
        return f"{self.table} of {self.day}" if self.day else self.table


def find_changes(lake: Lake, first: date, last: date) -> list[Change]:
    """
    Return what has landed since, and what would be cleaned again, for the runs of `first` to `last`.

    If no reference is among these, return also what would be analysed again: a changed reference concerns every date anyway.
    """
    pipeline = lake.pipeline
    changes: set[Change] = set()
    for name in pipeline.sources:
        uncollected = uncollected_dates(lake, name, pipeline.calendar.needed_dates(first, last))
        changes |= {Change(name, day) for day in (*uncollected, *uncleaned_days(lake, name, first, last))}
    for name in pipeline.references:
        landed = landed_reference(lake, name)
        is_missing = REFERENCE not in lake.tables.state(f"clean_{name}").partitions
        if is_missing or (landed is not None and (landed.drop is None or uncleaned_days(lake, name, first, last))):
            changes.add(Change(name, None))
    found = sorted(changes, key=lambda change: (change.day or date.min, change.table))
    if not any(change.day is None for change in changes):
        for table, stale in unanalysed_days(lake, first, last).items():
            found += [Change(table, day) for day in sorted(stale)]
    return found


def changes_read(lake: Lake, changes: Iterable[Change], day: date, origin: date) -> list[Change]:
    """
    Return the changes that concern a run of `day`.

    :param origin: the first date whose training the date depends on
    """
    changes = list(changes)
    read = {table: _days_read(lake, table, origin, day) for table in {change.table for change in changes}}

    def concerns(change: Change) -> bool:
        if change.day is None:
            return True
        first, last = read[change.table]
        is_used = not change.table.startswith("lookup_") or _is_joined(lake, change.day, day)
        return first <= change.day <= last and is_used

    return [change for change in changes if concerns(change)]


def _is_joined(lake: Lake, midnight: date, day: date) -> bool:
    """
    Return whether a run of `day` uses a lookup as of a midnight: for its release, or because features of that date join it.

    A lookup as of a gap was computed for the release of the date before, and no features join it.
    """
    sources = lake.pipeline.sources
    return midnight == lake.pipeline.calendar.as_of(day) or all(lake.tables.state(f"clean_{n}").get(midnight) for n in sources)


def _days_read(lake: Lake, table: str, origin: date, day: date) -> tuple[date, date]:
    """Return the first and the last day of a table that a run of `day` reads, or a training from `origin` on."""
    calendar = lake.pipeline.calendar
    if table in lake.pipeline.tables:
        return calendar.needed_from(origin), day
    first = calendar.features_from(origin)
    if table in ("features", LABELS):
        return first, calendar.labelled_until(day)
    return first, calendar.as_of(day) if table.startswith("lookup_") else day
