"""What a range of dates holds: what has landed, what is decided, and what a backfill of it would do. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from perennial.backfill.batch import chunks
from perennial.collect.drops import complete_dates
from perennial.deploy.newest import is_newest, lacks_history
from perennial.errors import DateRefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.freshness.stale import Freshness, stale_dates
from perennial.freshness.stale import to_json as stale_to_json
from perennial.lake.lake import Lake
from perennial.store.json_value import JsonValue
from perennial.train.plan import split_of


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """
    The dates with data of a backfill: `missing` have not landed from every source, `unchanged` have a decision that rests on what is
    there, `stale` have one that does not, with the reason; `young` are analysed and have too little history to train.

    :param rest: how many rest dates it passes over
    """

    dates: tuple[date, ...]
    missing: tuple[date, ...]
    unchanged: tuple[date, ...]
    stale: Mapping[date, Freshness]
    young: tuple[date, ...]
    chunks: tuple[tuple[date, date], ...]
    deploys: date | None
    rest: int

    @property
    def again(self) -> list[date]:
        """Return the stale dates that can run again."""
        return [day for day, one in self.stale.items() if not one.is_blocked]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the plan as JSON values."""
        return {
            "from": self.dates[0].isoformat(),
            "to": self.dates[-1].isoformat(),
            "dates": len(self.dates),
            "rest": self.rest,
            "missing": [d.isoformat() for d in self.missing],
            "unchanged": len(self.unchanged),
            "stale": stale_to_json(self.stale),
            "young": len(self.young),
            "chunks": [[first.isoformat(), last.isoformat()] for first, last in self.chunks],
            "deploys": self.deploys.isoformat() if self.deploys else None,
        }


def plan_history(lake: Lake, first: date, last: date, *, only_stale: bool = False) -> HistoryPlan:
    """
    Plan a backfill from `first` to `last`, both included.

    :param only_stale: only the dates whose decision is stale are to run again; those that this makes stale follow them
    """
    calendar = lake.pipeline.calendar
    if calendar.check(first) > calendar.check_begun(last, datetime.now(UTC)):
        raise DateRefusedError(
            f"Pipeline {calendar.pipeline!r}: {first} is after {last}", remedy="Give the earlier date as --from."
        )
    lake, dates = lake.at_one_moment(), tuple(calendar.dates(first, last))
    if not dates:
        if first == last:
            calendar.check_data(first)
        raise calendar.refuse_rest(f"{first} to {last} are rest dates", first, last)
    missing = {*dates} - complete_dates(lake, dates)
    chain = read_chain(lake)
    stale = {d: one for d, one in stale_dates(lake, first, last).items() if not calendar.data_days.rests(d)}
    unchanged = tuple(d for d in dates if chain.get(d) is not None and d not in stale)
    young = _young(lake, [d for d in dates if d not in missing and chain.get(d) is None])
    todo = {d for d, one in stale.items() if not one.is_blocked} if only_stale else {*dates} - missing - {*unchanged, *young}
    newest = next((d for d in reversed(dates) if d not in missing and not lacks_history(lake, d)), None)
    reaches = newest is not None and (not only_stale or newest in todo) and is_newest(lake, chain, newest)
    return HistoryPlan(
        dates=dates,
        missing=tuple(sorted(missing)),
        unchanged=unchanged,
        stale=stale,
        young=young,
        chunks=tuple((one[0], one[-1]) for one in chunks(calendar, (d for d in dates if d in todo))),
        deploys=newest if reaches else None,
        rest=(last - first).days + 1 - len(dates),
    )


def _young(lake: Lake, undecided: list[date]) -> tuple[date, ...]:
    """Return the dates that have too little history, and of whose history nothing has landed that is not analysed yet."""
    features = lake.tables.state("features")
    found = [d for d in undecided if features.get_complete(d) and split_of(lake, d).too_little]
    history = {one for d in found for one in lake.pipeline.calendar.feature_dates(d) if features.get_complete(one) is None}
    to_come = complete_dates(lake, history) if history else set()
    return tuple(d for d in found if to_come.isdisjoint(lake.pipeline.calendar.feature_dates(d)))
