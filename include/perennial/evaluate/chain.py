"""
The chain of decisions and interventions, in order of date: which model version each date was judged against and left. Pure.

Dates enter in any order. Everything asked of the chain is a function of the set of its entries, never of the order in which
they were written: the incumbent of D comes from entries strictly before D, with the versions barred before D left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Model:
    """A model version and the address of its manifest."""

    version: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The current decision of one date. `key` names what it rests on; `champion` is what it leaves."""

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
    """A release that failed or was rolled back, and the version that no later date may release or be judged against."""

    date: str
    release: str | None
    barred: str | None
    who: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Chain:
    """All current decisions by ISO date, and all interventions in the order in which they happened."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    interventions: tuple[Intervention, ...] = ()

    def get(self, day: date) -> Entry | None:
        """Return the current decision of a date, or None."""
        return self.entries.get(day.isoformat())

    @property
    def days(self) -> list[date]:
        """Return every decided date, in order."""
        return sorted(date.fromisoformat(day) for day in self.entries)


def champion(chain: Chain, day: date) -> Model | None:
    """Return what the decisions up to and with `day` leave: the last champion that is not barred by then."""
    barred = _barred(chain, day.isoformat(), inclusive=True)
    return _last_champion(chain, day.isoformat(), barred, inclusive=True)


def incumbent(chain: Chain, day: date) -> Model | None:
    """Return the version that a run of `day` is judged against: what the dates strictly before it leave."""
    barred = _barred(chain, day.isoformat(), inclusive=False)
    return _last_champion(chain, day.isoformat(), barred, inclusive=False)


def anchor(chain: Chain, day: date) -> Model | None:
    """Return the last version before `day` that set an anchor and is not barred: small allowed losses add up from there."""
    barred = _barred(chain, day.isoformat(), inclusive=False)
    for name in sorted(chain.entries, reverse=True):
        entry = chain.entries[name]
        if name < day.isoformat() and entry.sets_anchor and entry.champion and entry.champion.version not in barred:
            return entry.champion
    return None


def is_barred(chain: Chain, version: str, day: date = date.max) -> bool:
    """Tell whether a version is barred on a date; without one, whether it is barred at all."""
    return version in _barred(chain, day.isoformat(), inclusive=True)


def enter(chain: Chain, day: date, entry: Entry) -> Chain:
    """Return the chain with the decision of a date entered or replaced, and later ones marked where they now rest on another."""
    before = chain.get(day)
    revised = replace(entry, revision=before.revision + 1 if before else 1, stale=False)
    return _mark_stale(replace(chain, entries={**chain.entries, day.isoformat(): revised}))


def intervene(chain: Chain, intervention: Intervention) -> Chain:
    """Return the chain with an intervention appended; later decisions that rest on the barred version become stale."""
    return _mark_stale(replace(chain, interventions=(*chain.interventions, intervention)))


def to_json(chain: Chain) -> dict[str, Any]:
    """Return the stored form."""
    return {
        "format": FORMAT,
        "entries": {day: asdict(chain.entries[day]) for day in sorted(chain.entries)},
        "interventions": [asdict(item) for item in chain.interventions],
    }


def from_json(stored: Mapping[str, Any]) -> Chain:
    """Read the stored form."""
    if stored.get("format") != FORMAT:
        raise ValueError(f"chain of decisions: format {stored.get('format')!r}, expected {FORMAT}")
    entries = {}
    for day, item in stored["entries"].items():
        left = item["champion"]
        entries[day] = Entry(**{**item, "champion": Model(**left) if left else None})
    return Chain(entries, tuple(Intervention(**item) for item in stored["interventions"]))


def _barred(chain: Chain, day: str, *, inclusive: bool) -> set[str]:
    return {i.barred for i in chain.interventions if i.barred and (i.date < day or (inclusive and i.date == day))}


def _last_champion(chain: Chain, day: str, barred: set[str], *, inclusive: bool) -> Model | None:
    for name in sorted(chain.entries, reverse=True):
        left = chain.entries[name].champion
        if (name < day or (inclusive and name == day)) and left and left.version not in barred:
            return left
    return None


def _mark_stale(chain: Chain) -> Chain:
    """Mark each decision whose incumbent or anchor is no longer the one it was judged against."""
    entries = {}
    for name, entry in chain.entries.items():
        day = date.fromisoformat(name)
        now = tuple(model.version if model else None for model in (incumbent(chain, day), anchor(chain, day)))
        entries[name] = replace(entry, stale=now != (entry.incumbent, entry.anchor))
    return replace(chain, entries=entries)
