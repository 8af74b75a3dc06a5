"""The way back by hand: bar what serves, and release the last version that is not barred. And the list to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from perennial.deploy.active import Active, read_active
from perennial.deploy.deploy import record_intervention
from perennial.deploy.protocol import bring_live, refuse_elsewhere
from perennial.deploy.release import build_release, plan_release, read_release, release_date
from perennial.deploy.serve_check import Numbers
from perennial.errors import RefusedError, ReleaseFailedError
from perennial.evaluate.chain import DEPLOY, Chain, Intervention, intervene, is_barred
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import barred_versions, champion_of, describe_bar
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result
from perennial.runtime.base import Runtime
from perennial.runtime.choice import open_runtime
from perennial.store.json_value import JsonValue

LAST = 30


@dataclass(frozen=True, slots=True)
class RolledBack(Result):
    """
    The release that serves after a rollback, and what the steps of bringing it live showed.

    :param previous: the release that served; `from` in JSON
    :param barred: the versions that are barred
    """

    WHERE_KNOWN: ClassVar[frozenset[str]] = frozenset({"serve_check", "switch_seconds", "soak"})

    previous: str | None
    released: str
    version: str
    barred: list[str]
    reason: str
    serve_check: Numbers | None
    switch_seconds: float | None
    soak: Numbers | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the result in values that JSON has."""
        return {"from" if name == "previous" else name: value for name, value in Result.to_json(self).items()}


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """A release in the list to choose from; `serves` tells whether it is the active one."""

    release: str
    date: str
    version: str
    as_of: str
    serves: bool
    barred: bool
    why_barred: str


def rollback(lake: Lake, *, reason: str, who: str, to: str | None = None, runtime: Runtime | None = None) -> RolledBack:
    """
    Go back from the release that serves, and bar its version so that no later run brings it back.

    Without `to` the last version that is not barred is released with the lookups of the same date. With `to` that very release
    serves again, and every champion since its version is barred. Latency is not judged: a busy machine must not hold up the way
    back. Can be repeated when it was interrupted.
    """
    name = lake.pipeline.name
    if not reason.strip() or not who.strip():
        raise RefusedError(f"Pipeline {name!r}: a rollback says who and why", remedy="Give a reason.")
    active = read_active(lake)
    runtime = runtime or open_runtime(lake.pipeline, lake.layout.space)
    refuse_elsewhere(lake, active, runtime)
    if active.release is None:
        raise RefusedError(f"Pipeline {name!r}: no release serves, so there is nothing to go back from")
    if to == active.release and active.soaked:
        raise RefusedError(f"Pipeline {name!r}: release {to} serves already")
    day = release_date(active.release)
    serves = read_release(lake, active.release)
    serving = serves["version"]
    chain = read_chain(lake)
    if to is None and _is_unfinished(chain, active, day, serving):
        to = active.release
    wanted = read_release(lake, to)["version"] if to else None
    if wanted is not None and (by := barred_versions(chain).get(wanted)) is not None:
        raise RefusedError(
            f"Pipeline {name!r}: release {to} is of version {wanted}, which {by.who} barred on {by.date}: {by.reason}",
            remedy=_choice(lake),
        )
    bars = _versions_to_bar(chain, day, serving, wanted)
    left = champion_of(_barred(chain, day, bars), day).model
    if left is None or (wanted is not None and left.version != wanted):
        raise RefusedError(
            f"Pipeline {name!r}: after {', '.join(bars)} there is no version {wanted or ''} left to go back to".replace(
                "  ", " "
            ),
            remedy=_choice(lake),
        )
    # Planned before anything is barred: a rollback that finds no lookups changes nothing. An edit of the calendar may have moved
    # as_of(D), and the lookups are to be those that serve.
    plan = None if to else plan_release(lake, chain, day, left, as_of=date.fromisoformat(serves["as_of"]))
    for version in bars:
        if not is_barred(chain, version, day):
            chain = record_intervention(lake, day, active.release if version == serving else None, version, who, reason)
    release = build_release(lake, plan) if plan else str(to)
    try:
        steps = bring_live(lake, runtime, release, lambda: None, judge_latency=False)
    except ReleaseFailedError as error:
        remedy = f"The version is barred. Go back further: `perennial rollback {name} --to RELEASE`."
        raise ReleaseFailedError(error.what, error.problems, remedy) from error
    return RolledBack(
        Outcome.DONE,
        previous=active.release if active.soaked else active.previous,
        released=release,
        version=left.version,
        barred=bars,
        reason=reason,
        serve_check=steps.serve_check,
        switch_seconds=steps.switch_seconds,
        soak=steps.soak,
    )


def _choice(lake: Lake) -> str:
    """Say what there is to go back to; it reads releases, which only a refused rollback has time for."""
    names = [item.release for item in list_releases(lake, 5) if not item.barred]
    return f"`perennial releases {lake.pipeline.name}` lists what has served: {', '.join(names)}."


def list_releases(lake: Lake, last: int = LAST) -> list[ListedRelease]:
    """Return the newest releases, newest first: id, date, version, as_of, whether it is active, and its bar."""
    active, barred = read_active(lake), barred_versions(read_chain(lake))
    prefix = lake.layout.release("x").removesuffix("x.json")
    written = sorted(lake.objects.listing(prefix), key=lambda one: one.at, reverse=True)
    names = [one.uri.removeprefix(prefix).removesuffix(".json") for one in written]
    found = []
    for name in names[:last]:
        manifest = read_release(lake, name)
        bar = barred.get(manifest["version"])
        why = describe_bar(bar) if bar else ""
        found.append(
            ListedRelease(
                release=manifest["release"],
                date=manifest["date"],
                version=manifest["version"],
                as_of=manifest["as_of"],
                serves=name == active.release,
                barred=bar is not None,
                why_barred=why,
            )
        )
    return found


def _is_unfinished(chain: Chain, active: Active, day: date, serving: str) -> bool:
    """Tell whether a rollback made this release active and was killed in its soak: a person barred last, and another version."""
    if active.soaked or not chain.interventions:
        return False
    last = chain.interventions[-1]
    return last.who != DEPLOY and last.barred not in (None, serving) and last.date >= day.isoformat()


def _versions_to_bar(chain: Chain, day: date, serving: str, wanted: str | None) -> list[str]:
    """Return what serves and, on the way to a wanted version, every champion in between; a wanted version itself is not barred."""
    if wanted is None:
        return [serving]
    bars: list[str] = []
    while (left := champion_of(_barred(chain, day, bars), day).model) is not None and left.version != wanted:
        bars.append(left.version)
    return bars if serving in bars or serving == wanted else [serving, *bars]


def _barred(chain: Chain, day: date, versions: list[str]) -> Chain:
    for version in versions:
        chain = intervene(chain, Intervention(day.isoformat(), None, version, "", "", ""))
    return chain
