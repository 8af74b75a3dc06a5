"""What a range of dates holds: what has landed, what is decided, and what a backfill of it would do. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from perennial.ahead import MOST_DATES
from perennial.calendar import days
from perennial.collect.drops import whole_dates
from perennial.deploy.newest import why_not_newest
from perennial.errors import DateRefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """The dates of a backfill: `missing` have not landed from every source, `decided` have a decision that is not stale."""

    dates: tuple[date, ...]
    missing: tuple[date, ...]
    decided: tuple[date, ...]
    stale: tuple[date, ...]
    chunks: tuple[tuple[date, date], ...]
    deploys: date | None

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "from": self.dates[0].isoformat(),
            "to": self.dates[-1].isoformat(),
            "dates": len(self.dates),
            "missing": [d.isoformat() for d in self.missing],
            "decided": len(self.decided),
            "stale": [d.isoformat() for d in self.stale],
            "chunks": [[first.isoformat(), last.isoformat()] for first, last in self.chunks],
            "deploys": self.deploys.isoformat() if self.deploys else None,
        }


def plan_history(lake: Lake, first: date, last: date) -> HistoryPlan:
    """Plan a backfill from `first` to `last`, both included."""
    calendar = lake.pipeline.calendar
    if calendar.check(first) > calendar.check(last):
        raise DateRefusedError(
            f"Pipeline {calendar.pipeline!r}: {first} is after {last}", remedy="Give the earlier date as --from."
        )
    dates = tuple(days(first, last))
    missing = {*dates} - whole_dates(lake, dates)
    chain = read_chain(lake)
    entries = {d: entry for d in dates if (entry := chain.get(d)) is not None}
    newest = next((d for d in reversed(dates) if d not in missing), None)
    return HistoryPlan(
        dates=dates,
        missing=tuple(sorted(missing)),
        decided=tuple(d for d, entry in entries.items() if not entry.stale),
        stale=tuple(d for d, entry in entries.items() if entry.stale),
        chunks=tuple(_chunks([d for d in dates if d not in missing])),
        deploys=newest if newest is not None and why_not_newest(lake, chain, newest) is None else None,
    )


def _chunks(landed: list[date]) -> list[tuple[date, date]]:
    """Return the first and last date of each stretch that is worked on at once: no gap in it, at most MOST_DATES."""
    stretches: list[list[date]] = []
    for day in landed:
        if stretches and (day - stretches[-1][-1]).days == 1 and len(stretches[-1]) < MOST_DATES:
            stretches[-1].append(day)
        else:
            stretches.append([day])
    return [(one[0], one[-1]) for one in stretches]
