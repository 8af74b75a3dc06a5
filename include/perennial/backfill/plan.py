"""Plan a backfill: find the landed, decided and stale dates of a range, and the dates that would run. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from perennial.analyse.pending import changes_read, find_changes
from perennial.backfill.batch import split_batches
from perennial.clean.refusals import refused_dates
from perennial.collect.drops import complete_dates
from perennial.deploy.newest import is_newest, untrained_dates
from perennial.deploy.release import release_date
from perennial.deploy.standing import read_standing
from perennial.errors import DateRefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.freshness.stale import Freshness, stale_dates
from perennial.freshness.stale import to_json as stale_to_json
from perennial.lake.lake import Lake
from perennial.store.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """
    The dates with data of a backfill.

    `missing` dates have not landed from every source. `unchanged` dates have a decision on the present inputs. `stale` dates have
    a decision on other inputs, with the reason. `young` dates have landed, but have insufficient history to train.

    :param batches: the first and the last date of each batch
    :param deploys: the newest date, if it is among the dates and runs; None: nothing reaches the endpoint
    :param rest: the number of rest dates that it skips
    :param newest: the newest date, if it is among the dates
    :param serves: whether the release of the newest date serves
    """

    dates: tuple[date, ...]
    missing: tuple[date, ...]
    unchanged: tuple[date, ...]
    stale: Mapping[date, Freshness]
    young: tuple[date, ...]
    batches: tuple[tuple[date, date], ...]
    deploys: date | None
    rest: int
    newest: date | None = None
    serves: bool = False

    @property
    def perhaps_again(self) -> list[date]:
        """Return the unchanged dates after a date that runs: a decision there may give them another incumbent."""
        return [day for day in self.unchanged if self.batches and day > self.batches[0][0]]

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
    landed = [d for d in dates if d not in missing]
    untrained = untrained_dates(lake, [d for d in landed if chain.get(d) is None])
    refused = refused_dates(lake, untrained)
    young = tuple(d for d in untrained if d not in refused)
    done = {*unchanged, *_without_work(lake, young)}
    todo = {d for d, state in stale.items() if not state.is_blocked} if only_stale else {*dates} - missing - done
    last_able = next((d for d in reversed(landed) if not refused_dates(lake, [d]) and not untrained_dates(lake, [d])), None)
    newest = last_able if last_able is not None and is_newest(lake, chain, last_able) else None
    return HistoryPlan(
        dates=dates,
        missing=tuple(sorted(missing)),
        unchanged=unchanged,
        stale=stale,
        young=young,
        batches=tuple((batch[0], batch[-1]) for batch in split_batches(calendar, (d for d in dates if d in todo))),
        deploys=newest if not only_stale or newest in todo else None,
        rest=(last - first).days + 1 - len(dates),
        newest=newest,
        serves=newest is not None and _is_serving(lake, newest),
    )


def _is_serving(lake: Lake, day: date) -> bool:
    """Return whether the release of the newest date is active and has passed its soak."""
    now = read_standing(lake)
    return now.release is not None and release_date(now.release) == day and not now.behind


def _without_work(lake: Lake, young: Sequence[date]) -> list[date]:
    """Return the dates with insufficient history that are collected, cleaned and analysed: a run of them does nothing."""
    changes = find_changes(lake, young[0], young[-1]) if young else []
    return [day for day in young if not changes_read(lake, changes, day, day)]
