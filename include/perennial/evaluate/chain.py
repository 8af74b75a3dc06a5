"""
The decision log: decisions and interventions by date, with the incumbent and the champion of each date. Pure.

Dates enter in any order. Every answer depends only on the set of entries, never on the order in which they were written: the
incumbent of D comes from entries strictly before D, without the versions barred before D.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from perennial.store.json_value import JsonValue

FORMAT = 1
DEPLOY = "deploy"
"""The author of an intervention that no person made: a deploy whose release failed."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model version and the address of its manifest."""

    version: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """
    The current decision of one date.

    :param decision: PROMOTE, HOLD or REJECT
    :param uri: the address of the stored decision with its numbers
    :param key: the fingerprint of its inputs
    :param champion: the champion that the decision named
    :param incumbent: the version of the incumbent that it was judged against
    :param anchor: the version of the anchor that it was judged against
    :param sets_anchor: whether its champion becomes the anchor of later dates
    :param revision: the number of times that the date was decided
    :param stale: whether incumbent or anchor have changed since
    """

    decision: str
    uri: str
    key: str
    champion: Model | None
    incumbent: str | None
    anchor: str | None
    sets_anchor: bool
    run_id: str
    at: str
    revision: int = 1
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Intervention:
    """
    A failed or rolled-back release.

    :param date: the date of the release (ISO)
    :param barred: the barred version: neither champion of this date nor of a later one; None: no version is barred
    :param who: the person, or DEPLOY
    :param target: the release that a person rolled back to; None: DEPLOY made it, or an earlier version of Perennial
    """

    date: str
    release: str | None
    barred: str | None
    who: str
    reason: str
    at: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The decision log: all current decisions by ISO date, and all interventions in the order in which they happened."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    interventions: tuple[Intervention, ...] = ()

    def get(self, day: date) -> Entry | None:
        """Return the current decision of a date, or None."""
        return self.entries.get(day.isoformat())

    @property
    def days(self) -> list[date]:
        """Return all decided dates, in order."""
        return sorted(date.fromisoformat(day) for day in self.entries)


def incumbent(chain: Chain, day: date) -> Model | None:
    """Return the version that challengers of `day` are judged against: the champion of the dates strictly before it."""
    barred = _barred(chain, day.isoformat(), inclusive=False)
    return _first_allowed(_newest_first(chain, day.isoformat()), barred)


def anchor(chain: Chain, day: date) -> Model | None:
    """Return the last version before `day` that set an anchor and is not barred. It bounds the sum of small allowed losses."""
    barred = _barred(chain, day.isoformat(), inclusive=False)
    return _first_allowed((entry for entry in _newest_first(chain, day.isoformat()) if entry.sets_anchor), barred)


def is_barred(chain: Chain, version: str, day: date = date.max) -> bool:
    """Return whether a version is barred on a date; without `day`, on any date."""
    return version in _barred(chain, day.isoformat(), inclusive=True)


def enter(chain: Chain, day: date, entry: Entry) -> Chain:
    """Enter or replace the decision of a date, and mark later decisions whose incumbent or anchor changes as stale."""
    before = chain.get(day)
    revised = replace(entry, revision=before.revision + 1 if before else 1, stale=False)
    return _mark_stale(replace(chain, entries={**chain.entries, day.isoformat(): revised}))


def intervene(chain: Chain, intervention: Intervention) -> Chain:
    """Append an intervention, and mark later decisions that depend on the barred version as stale."""
    return _mark_stale(replace(chain, interventions=(*chain.interventions, intervention)))


def to_json(chain: Chain) -> dict[str, JsonValue]:
    """Return the stored form."""
    return {
        "format": FORMAT,
        "entries": {day: asdict(chain.entries[day]) for day in sorted(chain.entries)},
        "interventions": [asdict(item) for item in chain.interventions],
    }


def from_json(stored: Mapping[str, Any]) -> Chain:
    """Read the stored form."""
    if stored.get("format") != FORMAT:
        raise ValueError(f"decision log: format {stored.get('format')!r}, expected {FORMAT}")
    entries = {}
    for day, item in stored["entries"].items():
        champion = item["champion"]
        entries[day] = Entry(**{**item, "champion": Model(**champion) if champion else None})
    return Chain(entries, tuple(Intervention(**item) for item in stored["interventions"]))


def _barred(chain: Chain, day: str, *, inclusive: bool) -> set[str]:
    return {i.barred for i in chain.interventions if i.barred and (i.date < day or (inclusive and i.date == day))}


def _newest_first(chain: Chain, day: str) -> list[Entry]:
    """Return the entries before `day`, newest first."""
    return [chain.entries[name] for name in sorted(chain.entries, reverse=True) if name < day]


def _first_allowed(newest_first: Iterable[Entry], barred: set[str]) -> Model | None:
    """Return the first champion that is not barred."""
    return next((entry.champion for entry in newest_first if entry.champion and entry.champion.version not in barred), None)


def _mark_stale(chain: Chain) -> Chain:
    """
    Mark each decision whose incumbent or anchor has changed since it was judged.

    One pass over the dates. Calling `incumbent` and `anchor` for each date would take quadratic time.
    """
    entries: dict[str, Entry] = {}
    before: list[Entry] = []
    anchors: list[Entry] = []
    for name, entry in sorted(chain.entries.items()):
        barred = _barred(chain, name, inclusive=False)
        opponents = _first_allowed(reversed(before), barred), _first_allowed(reversed(anchors), barred)
        now = tuple(model.version if model else None for model in opponents)
        entries[name] = replace(entry, stale=now != (entry.incumbent, entry.anchor))
        before.append(entry)
        if entry.sets_anchor:
            anchors.append(entry)
    return replace(chain, entries=entries)
