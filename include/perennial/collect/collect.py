"""The stage `collect`: check and pin what has landed for a date and for the history that it needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from perennial.calendar import DAY
from perennial.collect.accept import accept_drop, accept_reference
from perennial.collect.drops import THREADS, Landed, landed_drops, landed_headers, landed_reference
from perennial.collect.landing import list_folder
from perennial.collect.lost import count_refused
from perennial.collect.manifest import FILE
from perennial.collect.register import Drop, register, version_of
from perennial.errors import DropChangedError, DropMissingError, DropRefusedError
from perennial.lake.lake import Lake
from perennial.lake.result import OF_RESULT, Outcome, Result
from perennial.store.objects import Listed

log = logging.getLogger(__name__)

MAX_GAP = 300
"""Characters of a gap's reason: Airflow's database stores the result."""


@dataclass(frozen=True, slots=True)
class Collected(Result):
    """
    The drops that are pinned for a date.

    :param rows_landed: rows of the date's own drops, by source
    :param pinned: number of needed dates that have an accepted drop
    :param new: number of drops that this call read and accepted
    :param gaps: by earlier date (ISO), why it has no accepted drop
    :param at_rest: rest dates (ISO) on which something landed; it is not used
    :param warnings: history that the present contract refuses
    """

    SHOWN: ClassVar[frozenset[str]] = frozenset({"rows_landed", "pinned", "gaps", "at_rest"})

    date: date
    rows_landed: dict[str, int]
    pinned: int
    new: int
    gaps: dict[str, str]
    at_rest: list[str]
    warnings: list[str]


def collect(lake: Lake, day: date, until: date | None = None) -> Collected:
    """
    Pin the drops of `day` and of every landed date that it needs, and the references.

    With `until`, the drops up to that date are pinned too.
    An earlier date that has not landed or is refused is a gap, with its reason.
    A rest date is not a gap: drops that landed on it are listed as `at_rest` and not used.
    A problem with `day` itself, or with a reference, is an error.

    :raises DropRefusedError: with the problems of all drops of `day`
    :raises DropMissingError: when a drop of `day` or a reference has not landed
    :raises DropChangedError: when one of these was replaced while it was read
    """
    pipeline = lake.pipeline
    calendar = pipeline.calendar
    needed = calendar.needed_dates(calendar.check_data(day))
    wanted = [*needed, *calendar.dates(day + DAY, until or day)]
    rest = calendar.data_days.rest_dates(calendar.needed_from(day), day)
    at_rest: set[date] = set()
    landed: dict[_Place, Landed] = {}
    for source in pipeline.sources:
        drops = landed_drops(lake, source, [*wanted, *rest])
        at_rest |= drops.keys() & rest
        landed |= {(source, d): drop for d, drop in drops.items() if d not in at_rest}
    landed |= {(name, None): reference for name in pipeline.references if (reference := landed_reference(lake, name)) is not None}
    outcomes: dict[_Place, _Verdict] = {place: item.drop for place, item in landed.items()}
    unknown = [place for place, drop in outcomes.items() if drop is None]
    lake.objects.client  # noqa: B018 (created before the threads share it)
    with ThreadPoolExecutor(THREADS) as pool:
        outcomes |= zip(unknown, pool.map(lambda place: _accept(lake, place, landed[place].found), unknown), strict=True)
    accepted = {place: drop for place in unknown if isinstance(drop := outcomes[place], Drop)}
    register(lake, ((version_of(landed[place].found), drop) for place, drop in accepted.items()))
    required = {name: outcomes.get((name, day if name in pipeline.sources else None)) for name in pipeline.tables}
    _require_accepted(lake, day, required)
    gaps: dict[str, str] = {}
    for d in needed[:-1]:
        if reasons := [
            f"{source}: {reason}" for source in pipeline.sources if (reason := _gap_reason(outcomes.get((source, d))))
        ]:
            gaps[d.isoformat()] = "; ".join(reasons)[:MAX_GAP]
    warnings = [text for source in pipeline.sources for text in _count_refused_history(lake, source, outcomes, needed)]
    for text in warnings:
        log.warning("%s", text, extra=OF_RESULT)
    new = len(accepted)
    if at_rest:
        log.warning("Landed on rest dates, not used: %s", ", ".join(map(str, sorted(at_rest))))
    log.info("Pinned %s of %s dates, %s new drops, %s gaps", len(needed) - len(gaps), len(needed), new, len(gaps))
    return Collected(
        Outcome.DONE if new else Outcome.UNCHANGED,
        date=day,
        rows_landed={source: _count_rows(required[source]) for source in pipeline.sources},
        pinned=len(needed) - len(gaps),
        new=new,
        gaps=gaps,
        at_rest=[d.isoformat() for d in sorted(at_rest)],
        warnings=warnings,
    )


_Place = tuple[str, date | None]
_Verdict = Drop | DropRefusedError | DropChangedError | None


def _accept(lake: Lake, place: _Place, listed: Listed) -> _Verdict:
    name, day = place
    try:
        return accept_reference(lake, name, listed) if day is None else accept_drop(lake, name, day, listed)
    except (DropRefusedError, DropChangedError) as error:
        return error


def _count_refused_history(lake: Lake, source: str, outcomes: Mapping[_Place, _Verdict], needed: Iterable[date]) -> list[str]:
    """Return one sentence for each common cause by which the present contract refuses needed, landed dates."""
    landed = {day: outcomes[source, day] for day in needed if (source, day) in outcomes}
    refused = {day: outcome.problems for day, outcome in landed.items() if isinstance(outcome, DropRefusedError)}
    headers = landed_headers(lake, source, landed) if refused else {}
    return count_refused(source, lake.pipeline.sources[source], refused, headers)


def _require_accepted(lake: Lake, day: date, required: dict[str, _Verdict]) -> None:
    refused = {name: outcome for name, outcome in required.items() if isinstance(outcome, DropRefusedError)}
    if len(refused) == 1:
        raise next(iter(refused.values()))
    if refused:
        problems = [f"{name}: {problem}" for name, error in refused.items() for problem in error.problems]
        remedy = next(iter(refused.values())).remedy
        raise DropRefusedError(f"Pipeline {lake.pipeline.name!r}, the drops of {day} are refused", problems, remedy)
    for outcome in required.values():
        if isinstance(outcome, DropChangedError):
            raise outcome
    if missing := [name for name, outcome in required.items() if outcome is None]:
        raise DropMissingError(
            f"Pipeline {lake.pipeline.name!r}, {day}: not landed",
            [_describe_missing(lake, name, day) for name in missing],
            "Land them (docs/how-to/land-a-drop.md), or wait for upstream.",
        )


def _describe_missing(lake: Lake, name: str, day: date) -> str:
    """Return the missing address, and the files that are already in its folder."""
    source = lake.pipeline.sources.get(name)
    if source is None:
        return lake.pipeline.references[name].uri
    beside = sorted(list_folder(lake.objects, source.drop_uri(day)))
    hint = f" (the folder holds {', '.join(map(repr, beside[:5]))}; the manifest completes the drop)" if beside else ""
    return f"{source.drop_uri(day)}{FILE}{hint}"


def _gap_reason(outcome: _Verdict) -> str | None:
    if outcome is None:
        return "not landed"
    if isinstance(outcome, DropRefusedError):
        return "refused: " + "; ".join(outcome.problems)
    return str(outcome) if isinstance(outcome, DropChangedError) else None


def _count_rows(outcome: _Verdict) -> int:
    return outcome.rows if isinstance(outcome, Drop) else 0
