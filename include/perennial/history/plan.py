"""What a range of dates holds: what has landed, what is decided, and what a backfill of it would do. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from perennial.ahead import chunks
from perennial.calendar import days
from perennial.collect.drops import whole_dates
from perennial.deploy.newest import why_not_newest
from perennial.errors import DateRefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.stale import Stale, stale_dates
from perennial.stale import to_json as stale_to_json
from perennial.train.plan import split_of


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """
    The dates of a backfill: `missing` have not landed from every source, `unchanged` have a decision that rests on what is there,
    `stale` have one that does not, with the reason; `young` are analysed and have too little history to train.
    """

    dates: tuple[date, ...]
    missing: tuple[date, ...]
    unchanged: tuple[date, ...]
    stale: Mapping[date, Stale]
    young: tuple[date, ...]
    chunks: tuple[tuple[date, date], ...]
    deploys: date | None

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "from": self.dates[0].isoformat(),
            "to": self.dates[-1].isoformat(),
            "dates": len(self.dates),
            "missing": [d.isoformat() for d in self.missing],
            "unchanged": len(self.unchanged),
            "stale": stale_to_json(self.stale),
            "young": len(self.young),
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
    lake, dates = lake.at_one_moment(), tuple(days(first, last))
    missing = {*dates} - whole_dates(lake, dates)
    chain = read_chain(lake)
    stale = stale_dates(lake, first, last)
    unchanged = tuple(d for d in chain.days if first <= d <= last and d not in stale)
    features = lake.tables.state("features")
    young = tuple(
        d for d in dates if d not in missing and chain.get(d) is None and features.get(d) and split_of(lake, d).too_little
    )
    settled = {*unchanged, *young}
    newest = next((d for d in reversed(dates) if d not in missing), None)
    return HistoryPlan(
        dates=dates,
        missing=tuple(sorted(missing)),
        unchanged=unchanged,
        stale=stale,
        young=young,
        chunks=tuple((one[0], one[-1]) for one in chunks(d for d in dates if d not in missing and d not in settled)),
        deploys=newest if newest is not None and why_not_newest(lake, chain, newest) is None else None,
    )
