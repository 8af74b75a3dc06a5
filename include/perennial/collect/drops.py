"""Drops that have landed, and those of them that are accepted. Only reads, and only a few objects: see the register."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from perennial.calendar import DAY, Calendar
from perennial.collect.header import header_problems
from perennial.collect.landing import head, read_small
from perennial.collect.manifest import FILE, MAX_BYTES, Manifest, parse_manifest
from perennial.collect.register import Drop, page_of, read_page, version_of
from perennial.config.pipeline import Reference
from perennial.errors import DropUnreadableError
from perennial.lake.lake import Lake
from perennial.store.objects import Listed

THREADS = 8


@dataclass(frozen=True, slots=True)
class Landed:
    """A manifest (or a reference) in the landing zone, unread, with the accepted drop that belongs to it, if any."""

    found: Listed
    drop: Drop | None


def landed_drops(lake: Lake, source: str, wanted: Iterable[date]) -> dict[date, Landed]:
    """Return the landed drops of many dates, in order of date. Each month costs one listing and one page of the register."""
    return {day: Landed(item, _keep_fitting(lake, source, drop)) for day, item, drop in _walk(lake, source, wanted)}


def unfit_drops(lake: Lake, source: str, wanted: Iterable[date]) -> dict[date, list[str]]:
    """Return by date how accepted drops break the present contract: a change of the contract makes them gaps."""
    spec = lake.pipeline.sources[source]
    return {
        day: problems
        for day, _, drop in _walk(lake, source, wanted)
        if drop is not None and (problems := contract_problems(drop.columns, drop.rows, spec, day))
    }


def landed_headers(lake: Lake, source: str, wanted: Iterable[date]) -> dict[date, tuple[str, ...] | None]:
    """Return by date the columns of each landed drop that collect has ever accepted; None: not known."""
    return {day: None if drop is None else drop.columns for day, _, drop in _walk(lake, source, wanted)}


def _walk(lake: Lake, source: str, wanted: Iterable[date]) -> Iterator[tuple[date, Listed, Drop | None]]:
    """
    Yield the landed dates in order, with the manifest and its accepted drop, if any.

    Of the present contract, only the dialect is checked: in another one, the drop must be read again.
    """
    spec = lake.pipeline.sources[source]
    before, _, _ = spec.uri.partition("{date}")
    dates = sorted(set(wanted))
    for month in sorted({page_of(day) for day in dates}):
        listed = {item.uri: item for item in lake.objects.listing(before + month)}
        page = read_page(lake, source, month) if listed else {}
        for day in dates:
            if page_of(day) == month and (item := listed.get(spec.drop_uri(day) + FILE)) is not None:
                drop = page.get((day, version_of(item)))
                yield day, item, drop if drop is not None and drop.dialect == spec.csv.division else None


def landed_reference(lake: Lake, name: str) -> Landed | None:
    """Return a landed reference, or None."""
    item = head(lake.objects, lake.pipeline.references[name].uri)
    if item is None:
        return None
    return Landed(item, _keep_fitting(lake, name, read_page(lake, name, page_of(None)).get((None, version_of(item)))))


def pinned_drop(lake: Lake, source: str, day: date) -> Drop | None:
    """Return the accepted drop of the manifest that is in the landing zone now, or None."""
    landed = landed_drops(lake, source, [day]).get(day)
    return None if landed is None else landed.drop


def pinned_reference(lake: Lake, name: str) -> Drop | None:
    """Return the accepted version of the reference that is in the landing zone now, or None."""
    landed = landed_reference(lake, name)
    return None if landed is None else landed.drop


def complete_dates(lake: Lake, wanted: Iterable[date]) -> set[date]:
    """
    Return the dates that have landed from every source: each has a valid manifest of that source and date.

    A rest date is never complete, even if drops have landed.
    """
    data_days = lake.pipeline.calendar.data_days
    complete = {day for day in wanted if not data_days.rests(day)}
    lake.objects.client  # noqa: B018 (created before the threads share it)
    with ThreadPoolExecutor(THREADS) as pool:
        for source in lake.pipeline.sources:
            landed = landed_drops(lake, source, complete)
            unread = [day for day, item in landed.items() if item.drop is None]
            valid = dict(zip(unread, pool.map(lambda day: is_landed(lake, source, day), unread), strict=True))  # noqa: B023
            complete = {day for day in landed if valid.get(day, True)}
    return complete


def newest_landed(lake: Lake, source: str, upto: date) -> date | None:
    """Return the newest date with data up to `upto` that has a valid manifest of this source, or None."""
    for month in _months_back(lake.pipeline.calendar, upto):
        landed = landed_drops(lake, source, month)
        for day in reversed(landed):
            if landed[day].drop is not None or is_landed(lake, source, day):
                return day
    return None


def latest_complete(lake: Lake, upto: date) -> date | None:
    """Return the newest date up to `upto` that has landed from every source, or None."""
    return next(
        (max(dates) for month in _months_back(lake.pipeline.calendar, upto) if (dates := complete_dates(lake, month))), None
    )


def landed_at_rest(lake: Lake, first: date, last: date) -> list[date]:
    """Return, in order, the rest dates on which some source has landed; these drops are not used."""
    rest = lake.pipeline.calendar.data_days.rest_dates(first, last)
    return sorted({day for source in lake.pipeline.sources for day in landed_drops(lake, source, rest)})


def _months_back(calendar: Calendar, last: date) -> Iterator[list[date]]:
    """Yield the dates with data of each month from `last` back to start."""
    while last >= calendar.start:
        first = max(last.replace(day=1), calendar.start)
        yield calendar.dates(first, last)
        last = first - DAY


def is_landed(lake: Lake, source: str, day: date) -> bool:
    """Return whether a date has a valid manifest of this source and date. Its files are checked by collect."""
    try:
        body = manifest_bytes(lake, source, day)
    except DropUnreadableError:
        return False
    return body is not None and check_manifest(body, source, day)[0] is not None


def manifest_bytes(lake: Lake, source: str, day: date) -> bytes | None:
    """Return the manifest's bytes, cut one byte above the limit, or None if the drop has not landed."""
    return read_small(lake.objects, lake.pipeline.sources[source].drop_uri(day) + FILE, MAX_BYTES)


def check_manifest(body: bytes, source: str, day: date) -> tuple[Manifest | None, list[str]]:
    """Parse a manifest unless it exceeds MAX_BYTES."""
    if len(body) > MAX_BYTES:
        return None, [f"{FILE} has more than {MAX_BYTES} bytes"]
    return parse_manifest(body, source, day)


def check_header(columns: Iterable[str], spec: Reference, day: date | None) -> list[str]:
    """Return how the header of a drop's files breaks the contract on its date (None: a reference)."""
    return header_problems(list(columns), spec.header, spec.may_lack(day), spec.csv.delimiter)


def contract_problems(columns: Iterable[str], rows: int, spec: Reference, day: date | None) -> list[str]:
    """Return how a drop with these columns and rows breaks the contract on its date (None: a reference)."""
    problems = check_header(columns, spec, day)
    if rows < spec.min_rows:
        problems.append(f"{rows} rows, expected at least {spec.min_rows} (min_rows)")
    return problems


def _keep_fitting(lake: Lake, name: str, drop: Drop | None) -> Drop | None:
    """Return an accepted drop if it fits the present contract: the contract may have changed since collect accepted it."""
    spec = lake.pipeline.tables[name]
    if drop is None or drop.dialect != spec.csv.division:
        return None
    return None if contract_problems(drop.columns, drop.rows, spec, drop.day) else drop
