"""The champion of a date and the reason for it: the one account that every command, page and task gives. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date

from perennial.evaluate.chain import DEPLOY, Chain, Intervention, Model
from perennial.store.json_value import JsonValue

MAX_CAUSE = 200
"""Characters of a cause in a sentence; `perennial decisions` has the whole line."""


@dataclass(frozen=True, slots=True)
class Champion:
    """
    The version that the decisions and interventions up to a date leave.

    :param decision: the decision of the date itself; None: it has none
    :param named: the version that this decision left as champion when it was made
    :param model: the champion; None: there is none
    :param since: the date whose decision promoted the champion
    :param passed_over: the interventions that bar the versions which later decisions named, the newest version first
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
        """Say in one sentence how this version came to be the champion, or why there is none."""
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
        """Say why the champion is not the version that the date's decision named, or return an empty string."""
        if self.decision is None or self.named == self.version:
            return ""
        return self.why


def champion_of(chain: Chain, day: date) -> Champion:
    """Return the champion of a date, decided or not."""
    return next(champions(chain, [day]))


def champions(chain: Chain, days: Iterable[date]) -> Iterator[Champion]:
    """Yield the champion of each date; the dates of the chain are sorted once for all of them."""
    names = sorted(chain.entries)
    for day in days:
        yield _champion(chain, day, names[: bisect_right(names, day.isoformat())])


def _champion(chain: Chain, day: date, upto: Sequence[str]) -> Champion:
    """Walk back to the newest version that is not barred by `day`, and on to the date that promoted it."""
    barred = barred_versions(chain, day)
    passed_over: dict[str, Intervention] = {}
    model, since = None, None
    for name in reversed(upto):
        left = chain.entries[name].champion
        if left is None:
            continue
        if model is not None and left.version != model.version:
            if left.version in barred:
                continue
            break
        if left.version in barred:
            passed_over.setdefault(left.version, barred[left.version])
            continue
        model, since = model or left, date.fromisoformat(name)
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
    """Return the intervention that bars each version on a date, the newest first; without a date, all that are barred."""
    found: dict[str, Intervention] = {}
    for item in chain.interventions:
        if item.barred and item.date <= day.isoformat() and (item.barred not in found or item.date < found[item.barred].date):
            found[item.barred] = item
    return dict(sorted(found.items(), key=lambda pair: (pair[1].date, pair[1].at), reverse=True))


def describe_bar(item: Intervention) -> str:
    """Say which version is barred, from which date on, by whom and why."""
    return f"{item.barred} is barred from {item.date} on, {describe_cause(item)}"


def describe_cause(item: Intervention) -> str:
    """Say who intervened and why: a person rolled back, or a deploy found the release bad."""
    cause = (item.reason.splitlines() or [""])[0]
    cause = cause if len(cause) <= MAX_CAUSE else f"{cause[:MAX_CAUSE].rpartition(' ')[0] or cause[:MAX_CAUSE]} …"
    return f"its release failed: {cause}" if item.who == DEPLOY else f"rolled back by {item.who}: {cause}"


def facts(found: Champion) -> dict[str, JsonValue]:
    """Return what a task or a command hands on about the champion of a date."""
    return {"champion": found.version, "why": found.why, "note": found.note, "barred": to_json(found.passed_over)}


def to_json(items: Iterable[Intervention]) -> list[dict[str, JsonValue]]:
    """Return interventions as JSON values."""
    return [asdict(item) for item in items]
