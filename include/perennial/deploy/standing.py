"""
The state of a pipeline: its champion, the barred versions, the active release, and why that release is behind.

Every command, page and task reports this state from here.
`standing` and `to_release` are pure; `read_standing` reads their inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from perennial.deploy.active import read_active
from perennial.deploy.newest import NO_DECISION, Later, later_drops, why_not_newest
from perennial.deploy.release import read_release, release_date
from perennial.evaluate.chain import DEPLOY, Chain, Intervention, Model
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import Champion, barred_versions, champion_of, describe_bar, describe_cause
from perennial.lake.lake import Lake
from perennial.signing.pointer import Active

MAX_BARS = 3
_AT_WORK = "its deploy is still running or was interrupted; if it was interrupted, run"


@dataclass(frozen=True, slots=True)
class Standing:
    """
    The state that follows from decisions, interventions, pointer and landed drops.

    :param champion: the champion of the last decided date; None: no date has a decision
    :param barred: all interventions that bar a version, the newest first
    :param release: the active release; `version` is its model version
    :param later: the drops after the last decided date
    :param behind: why the active release is not that of the last decided date; empty: it is
    """

    champion: Champion | None
    barred: tuple[Intervention, ...]
    release: str | None
    version: str | None
    later: Later
    behind: str

    def lines(self) -> list[tuple[str, str]]:
        """Return the lines of a status report as (name, text)."""
        champion = self.champion
        more = len(self.barred) - MAX_BARS
        later = self.later
        waits = f"{later.waiting} {NO_DECISION}" if later.waiting else ""
        untrained = later.describe_untrained()
        lines = [
            ("champion", f"{champion.version or 'none'}: {champion.why}" if champion else "none yet"),
            *(("barred", describe_bar(item)) for item in self.barred[:MAX_BARS]),
            ("barred", f"and {more} more: `perennial decisions` lists them" if more > 0 else ""),
            *(("refused", f"{day}: {reason}. It is not the newest date") for day, reason in sorted(later.refused.items())),
            ("untrained", f"{untrained}. It is not the newest date" if untrained else ""),
            ("waits", waits),
            ("behind", "" if waits and self.behind.endswith(waits) else self.behind),
        ]
        return [(name, text) for name, text in lines if text]


def standing(chain: Chain, active: Active, version: str | None, later: Later) -> Standing:
    """
    Return the state of a pipeline.

    :param version: the version of the active release
    :param later: the drops after the last decided date
    """
    champion = champion_of(chain, chain.days[-1]) if chain.days else None
    return Standing(
        champion=champion,
        barred=tuple(barred_versions(chain).values()),
        release=active.release,
        version=version,
        later=later,
        behind=_why_behind(chain, champion, active, version, later) if champion else "",
    )


def read_standing(lake: Lake) -> Standing:
    """Read the state of a pipeline, without reading rows."""
    chain, active = read_chain(lake), read_active(lake)
    version = read_release(lake, active.release)["version"] if active.release else None
    later = later_drops(lake, chain, chain.days[-1]) if chain.days else Later()
    return standing(chain, active, version, later)


def to_release(chain: Chain, active: Active, later: Later, day: date) -> tuple[Model | None, str]:
    """Return the model that a deploy of `day` releases, or None and the reason."""
    if reason := why_not_newest(chain, later, day):
        return None, reason
    if chain.get(day) is None:
        return None, f"{day} has no decision"
    if active.release is not None and release_date(active.release) > day:
        return None, f"{day} is not the newest date: release {active.release} serves"
    champion = champion_of(chain, day)
    return champion.model, "" if champion.model else champion.why


def _why_behind(chain: Chain, champion: Champion, active: Active, version: str | None, later: Later) -> str:
    """Return why the last decided date does not serve; '' if it serves, or has no champion to release."""
    last = champion.day
    # A run of the last date deploys nothing while a later date waits.
    to_run = f"{later.waiting}" if later.waiting else f"{last} again"
    if version is not None and version in barred_versions(chain, last):
        item = barred_versions(chain, last)[version]
        return f"release {active.release} is active, but {describe_bar(item)}. Run `perennial rollback` again, or run {to_run}"
    if champion.model is None:
        return ""
    if active.release and release_date(active.release) == last and version == champion.version:
        return "" if active.soaked else f"release {active.release} has not passed its soak: {_AT_WORK} {to_run}"
    model, reason = to_release(chain, active, later, last)
    if model is None:
        return reason
    return f"{last} is not released: {_why_not_released(chain, champion, active)}"


def _why_not_released(chain: Chain, champion: Champion, active: Active) -> str:
    last = champion.day.isoformat()
    item = next((item for item in reversed(chain.interventions) if item.date == last), None)
    if item is None:
        return f"{_AT_WORK} {last} again"
    if item.who == DEPLOY:
        return item.reason
    return f"release {active.release} is active, {describe_cause(item)}. The next run of {last} releases {champion.version}"
