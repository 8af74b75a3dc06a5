"""Plan a backfill: find the landed, decided and stale dates of a range, and the dates that would run. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from perennial.backfill.batch import split_batches
from perennial.clean.refusals import refused_dates
from perennial.collect.drops import complete_dates
from perennial.deploy.newest import is_newest, untrained_dates
from perennial.errors import DateRefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.freshness.stale import Freshness, stale_dates
from perennial.freshness.stale import to_json as stale_to_json
from perennial.lake.lake import Lake
from perennial.store.json_value import JsonValue
from perennial.train.history import split_of
from perennial.train.plan import skipped_before


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """
    The dates with data of a backfill.

    `missing` dates have not landed from every source. `unchanged` dates have a decision on the present inputs. `stale` dates have
    a decision on other inputs, with the reason. `young` dates are analysed, but have insufficient history to train.

    :param batches: the first and the last date of each batch
    :param rest: the number of rest dates that it skips
    """

    dates: tuple[date, ...]
    missing: tuple[date, ...]
    unchanged: tuple[date, ...]
    stale: Mapping[date, Freshness]
    young: tuple[date, ...]
    batches: tuple[tuple[date, date], ...]
    deploys: date | None
    rest: int

    @property
    def again(self) -> list[date]:
        """Return the stale dates that can run again."""
        return [day for day, freshness in self.stale.items() if not freshness.is_blocked]

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
            "chunks": [[first.isoformat(), last.isoformat()] for first, last in self.batches],
            "deploys": self.deploys.isoformat() if self.deploys else None,
        }


def plan_history(lake: Lake, first: date, last: date, *, only_stale: bool = False) -> HistoryPlan:
    """
    Plan a backfill from `first` to `last`, both included.

    :param only_stale: run only the dates whose decision is stale. Dates that become stale because of these runs run afterwards
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
    stale = {d: state for d, state in stale_dates(lake, first, last).items() if not calendar.data_days.rests(d)}
    unchanged = tuple(d for d in dates if chain.get(d) is not None and d not in stale)
    young = _find_young(lake, [d for d in dates if d not in missing and chain.get(d) is None])
    todo = {d for d, state in stale.items() if not state.is_blocked} if only_stale else {*dates} - missing - {*unchanged, *young}
    landed = (d for d in reversed(dates) if d not in missing)
    newest = next((d for d in landed if not refused_dates(lake, [d]) and not untrained_dates(lake, [d])), None)
    is_deployed = newest is not None and (not only_stale or newest in todo) and is_newest(lake, chain, newest)
    return HistoryPlan(
        dates=dates,
        missing=tuple(sorted(missing)),
        unchanged=unchanged,
        stale=stale,
        young=young,
        batches=tuple((batch[0], batch[-1]) for batch in split_batches(calendar, (d for d in dates if d in todo))),
        deploys=newest if is_deployed else None,
        rest=(last - first).days + 1 - len(dates),
    )


def _find_young(lake: Lake, undecided: list[date]) -> tuple[date, ...]:
    """Return the dates with insufficient history for which no landed date of the history still waits to be analysed."""
    features = lake.tables.state("features")
    calendar = lake.pipeline.calendar
    young = [d for d in undecided if features.get_complete(d) and (split_of(lake, d).too_little or skipped_before(lake, d))]
    history = {day for d in young for day in calendar.feature_dates(d) if features.get_complete(day) is None}
    waiting = complete_dates(lake, history) if history else set()
    return tuple(d for d in young if waiting.isdisjoint(calendar.feature_dates(d)))
