"""The champion of a date and the reason for it. Every command, page and task reports it from here. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date

from perennial.evaluate.chain import DEPLOY, Chain, Intervention, Model
from perennial.store.json_value import JsonValue

MAX_CAUSE = 200
"""Maximum characters of a cause in a sentence; `perennial decisions` shows the whole line."""


@dataclass(frozen=True, slots=True)
class Champion:
    """
    The champion after the decisions and interventions up to a date.

    :param decision: the decision of the date itself, or None
    :param named: the version that was champion after this decision when it was made
    :param model: the champion, or None
    :param since: the date whose decision promoted the champion
    :param passed_over: the interventions that bar the versions named by later decisions, the newest version first
    """

    day: date
    decision: str | None
    named: str | None
    model: Model | None
    since: date | None
    passed_over: tuple[Intervention, ...]
    stale: bool

    @property
    def version(self) -> str | None:
        """Return the champion's version, or None."""
        return self.model.version if self.model else None

    @property
    def why(self) -> str:
        """Explain in one sentence why this version is the champion, or why there is no champion."""
        bars = "; ".join(describe_bar(item) for item in self.passed_over)
        if self.model is None:
            return f"every version that passed the gate is barred: {bars}" if bars else "no version has passed the gate yet"
        if bars:
            return f"champion again, promoted on {self.since}: {bars}"
        if self.since == self.day or self.decision is None:
            return f"promoted on {self.since}"
        return f"promoted on {self.since}; the {self.decision} of {self.day} kept it"

    @property
    def note(self) -> str:
        """Explain why the champion is not the version that the date's decision named; empty if it is."""
        if self.decision is None or self.named == self.version:
            return ""
        return self.why


def champion_of(chain: Chain, day: date) -> Champion:
    """Return the champion of a date, even if the date has no decision."""
    return next(champions(chain, [day]))


def champions(chain: Chain, days: Iterable[date]) -> Iterator[Champion]:
    """Yield the champion of each date. The dates of the decision log are sorted only once."""
    names = sorted(chain.entries)
    for day in days:
        yield _find_champion(chain, day, names[: bisect_right(names, day.isoformat())])


def _find_champion(chain: Chain, day: date, upto: Sequence[str]) -> Champion:
    """Walk back to the newest version that is not barred on `day`, and then to the date that promoted it."""
    barred = barred_versions(chain, day)
    passed_over: dict[str, Intervention] = {}
    model, since = None, None
    for name in reversed(upto):
        champion = chain.entries[name].champion
        if champion is None:
            continue
        if model is not None and champion.version != model.version:
            if champion.version in barred:
                continue
            break
        if champion.version in barred:
            passed_over.setdefault(champion.version, barred[champion.version])
            continue
        model, since = model or champion, date.fromisoformat(name)
        if chain.entries[name].decision == "PROMOTE":
            break
    entry = chain.get(day)
    return Champion(
        day=day,
        decision=entry.decision if entry else None,
        named=entry.champion.version if entry and entry.champion else None,
        model=model,
        since=since,
        passed_over=tuple(passed_over.values()),
        stale=entry.stale if entry else False,
    )


def barred_versions(chain: Chain, day: date = date.max) -> dict[str, Intervention]:
    """Return {version: intervention that bars it} on a date, the newest first; without a date, all barred versions."""
    bars: dict[str, Intervention] = {}
    for item in chain.interventions:
        if item.barred and item.date <= day.isoformat() and (item.barred not in bars or item.date < bars[item.barred].date):
            bars[item.barred] = item
    return dict(sorted(bars.items(), key=lambda pair: (pair[1].date, pair[1].at), reverse=True))


def describe_bar(item: Intervention) -> str:
    """Describe which version is barred, from which date on, by whom and why."""
    return f"{item.barred} is barred from {item.date} on, {describe_cause(item)}"


def describe_cause(item: Intervention) -> str:
    """Describe who intervened and why: a person rolled back, or the release of a deploy failed."""
    cause = (item.reason.splitlines() or [""])[0]
    cause = cause if len(cause) <= MAX_CAUSE else f"{cause[:MAX_CAUSE].rpartition(' ')[0] or cause[:MAX_CAUSE]} …"
    return f"its release failed: {cause}" if item.who == DEPLOY else f"rolled back by {item.who}: {cause}"


def facts(found: Champion) -> dict[str, JsonValue]:
    """Return the facts about a champion that a task or a command reports."""
    return {"champion": found.version, "why": found.why, "note": found.note, "barred": to_json(found.passed_over)}


def to_json(items: Iterable[Intervention]) -> list[dict[str, JsonValue]]:
    """Return interventions as JSON values."""
    return [asdict(item) for item in items]
