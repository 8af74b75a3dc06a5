"""Manual rollback: bar the serving version and release the last version that is not barred. List releases to choose from."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from perennial.access.token_file import token_headers
from perennial.deploy.active import read_active
from perennial.deploy.deploy import make_intervention
from perennial.deploy.named_release import list_release_names, read_named_release
from perennial.deploy.protocol import SupersededError, bring_live, refuse_elsewhere
from perennial.deploy.release import ReleasePlan, build_release, describe_release, plan_release, read_release, release_date
from perennial.deploy.serve_check import Numbers
from perennial.errors import PipelineRefusedError, RefusedError, ReleaseFailedError
from perennial.evaluate.chain import DEPLOY, Chain, Intervention, Model, intervene, is_barred
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.evaluate.champions import barred_versions, champion_of, describe_bar
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result
from perennial.runtime.base import Runtime
from perennial.runtime.choice import open_runtime
from perennial.signing.pointer import Active
from perennial.store.json_value import JsonValue

log = logging.getLogger(__name__)

LAST = 30


@dataclass(frozen=True, slots=True)
class RolledBack(Result):
    """
    The release that serves after a rollback, and the measurements of its deployment.

    :param previous: the release that served before; `from` in JSON
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
        """Return the result as JSON values."""
        return {"from" if name == "previous" else name: value for name, value in Result.to_json(self).items()}


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """A release in the list to choose from. `serves` is True for the active release."""

    release: str
    date: str
    version: str
    as_of: str
    serves: bool
    barred: bool
    why_barred: str


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """
    A rollback as it would happen now. Planning changes nothing.

    :param day: the date of the release that serves
    :param serving: its version
    :param bars: the versions that would be barred
    :param version: the version that would serve
    :param target: the release that would be built, or the name of the existing one that would serve again
    :param is_resumed: whether it finishes a rollback that was interrupted in its soak
    """

    chain: Chain
    active: Active
    day: date
    serving: str
    bars: list[str]
    version: str
    target: ReleasePlan | str
    is_resumed: bool = False

    @property
    def previous(self) -> str | None:
        """Return the release to go back from."""
        return self.active.previous if self.is_resumed else self.active.release

    @property
    def release(self) -> str:
        """Return the release that would serve."""
        return self.target if isinstance(self.target, str) else self.target.id

    def to_json(self) -> dict[str, JsonValue]:
        """Return the plan as JSON values."""
        return {"from": self.previous, "release": self.release, "version": self.version, "barred": list(self.bars)}


def plan_rollback(lake: Lake, *, to: str | None = None, runtime: Runtime | None = None) -> RollbackPlan:
    """
    Plan the rollback of the serving release, to the release that `to` names or to the last version that is not barred.

    :raises RefusedError: nothing serves, or there is no release to go back to
    """
    name, active = lake.pipeline.name, read_active(lake)
    refuse_elsewhere(lake, active, runtime or open_runtime(lake.pipeline, lake.layout.space))
    if active.release is None:
        raise RefusedError(f"Pipeline {name!r}: no release serves, so there is nothing to roll back")
    if to == active.release and active.soaked:
        raise RefusedError(f"Pipeline {name!r}: release {to} already serves")
    day = release_date(active.release)
    serves = read_release(lake, active.release)
    serving = serves["version"]
    chain = read_chain(lake)
    is_resumed = to in (None, active.release) and _is_unfinished(chain, active, day, serving)
    to = active.release if is_resumed else to
    wanted = read_named_release(lake, to)["version"] if to else None
    if wanted is not None and (by := barred_versions(chain).get(wanted)) is not None:
        raise RefusedError(
            f"Pipeline {name!r}: release {to} has version {wanted}, which {by.who} barred on {by.date}: {by.reason}",
            remedy=_describe_choice(lake),
        )
    bars = _versions_to_bar(chain, day, serving, wanted)
    champion = champion_of(_bar(chain, day, bars), day).model
    if champion is None or (wanted is not None and champion.version != wanted):
        raise RefusedError(
            f"Pipeline {name!r}: without {', '.join(bars)} there is no version {wanted or ''} to go back to".replace("  ", " "),
            remedy=_describe_choice(lake),
        )
    lake.pipeline.deployment  # noqa: B018 (raises if pipeline.yaml is refused and does not show it)
    token_headers()  # no server can be checked without its tokens
    # Use the as_of of the serving lookups, because an edit of the calendar may have moved as_of(D).
    target = to or _plan(lake, chain, day, champion, date.fromisoformat(serves["as_of"]))
    return RollbackPlan(chain, active, day, serving, bars, champion.version, target, is_resumed)


def rollback(lake: Lake, *, reason: str, who: str, to: str | None = None, runtime: Runtime | None = None) -> RolledBack:
    """
    Roll back the serving release, and bar its version so that no later run deploys it again.

    Without `to`, the last version that is not barred is released with the lookups of the same date.
    With `to`, exactly that release serves again, and every champion since its version is barred.
    If pipeline.yaml is refused, no release can be built: the newest existing release of that version serves again.
    Latency is not judged, because a busy machine must not delay a rollback. An interrupted rollback can be repeated.
    """
    name = lake.pipeline.name
    if not reason.strip() or not who.strip():
        raise RefusedError(f"Pipeline {name!r}: a rollback needs an author and a reason", remedy="Give a reason: --reason TEXT.")
    runtime = runtime or open_runtime(lake.pipeline, lake.layout.space)
    # Plan before barring anything, so that a rollback without lookups, or without the settings of its server, changes nothing.
    plan = plan_rollback(lake, to=to, runtime=runtime)
    _record(lake, plan, who, reason)
    released = plan.target if isinstance(plan.target, str) else build_release(lake, plan.target)
    try:
        steps = bring_live(lake, runtime, released, lambda: _reason_to_stop(lake, plan), judge_latency=False)
    except SupersededError as error:
        barred = f"{', '.join(plan.bars)} {'stays' if len(plan.bars) == 1 else 'stay'} barred. " if plan.bars else ""
        remedy = f"{barred}`perennial status {name}` shows the release that serves now. To go back from it too, roll back again."
        raise SupersededError(error.what, error.problems, remedy) from error
    except ReleaseFailedError as error:
        remedy = f"The version is barred. Go back further: `perennial rollback {name} --to RELEASE`."
        raise ReleaseFailedError(error.what, error.problems, remedy) from error
    return RolledBack(
        Outcome.DONE,
        previous=plan.previous,
        released=released,
        version=plan.version,
        barred=plan.bars,
        reason=reason,
        serve_check=steps.serve_check,
        switch_seconds=steps.switch_seconds,
        soak=steps.soak,
    )


def _record(lake: Lake, plan: RollbackPlan, who: str, reason: str) -> None:
    """
    Record the rollback in the decision log: a bar for each version that has none, else the reason alone.

    The last intervention then names its target. The repetition of an interrupted rollback records nothing.
    """

    def item(release: str | None, barred: str | None) -> Intervention:
        return make_intervention(plan.day, release, barred, who, reason, plan.release)

    def record(chain: Chain) -> Chain:
        for version in plan.bars:
            if not is_barred(chain, version, plan.day):
                chain = intervene(chain, item(plan.active.release if version == plan.serving else None, version))
        last = chain.interventions[-1] if chain.interventions else None
        is_known = last is not None and last.target == plan.release and (plan.is_resumed or _is_of(chain, plan))
        return chain if is_known else intervene(chain, item(plan.active.release, None))

    update_chain(lake, record)


def _is_of(chain: Chain, plan: RollbackPlan) -> bool:
    """Return whether the decision log has a rollback from the active release to the target of a plan."""
    wanted = (plan.day.isoformat(), plan.active.release, plan.release)
    return any((item.date, item.release, item.target) == wanted for item in chain.interventions)


def _reason_to_stop(lake: Lake, plan: RollbackPlan) -> str | None:
    """Return the reason not to switch to the target, because something else happened since the rollback was planned."""
    chain, active = read_chain(lake), read_active(lake).release
    if is_barred(chain, plan.version, plan.day):
        return f"its version {plan.version} was barred meanwhile"
    if active in (None, plan.active.release, plan.release):
        return None
    version = read_release(lake, active)["version"]
    if is_barred(chain, version):
        return None  # a deploy released a barred version with other lookups: users must leave that, too
    return f"release {active} became active meanwhile, and its version {version} is not barred"


def _describe_choice(lake: Lake) -> str:
    """Name the releases to go back to. It reads releases, which takes time, so only a refused rollback calls it."""
    names = [item.release for item in list_releases(lake, 5) if not item.barred]
    example = f", for example {', '.join(names)}" if names else ""
    return f"`perennial releases {lake.pipeline.name}` lists the newest releases{example}."


def _plan(lake: Lake, chain: Chain, day: date, model: Model, as_of: date) -> ReleasePlan | str:
    """Plan a release of a model. If pipeline.yaml is refused, return the newest existing release of the model instead."""
    try:
        return plan_release(lake, chain, day, model, as_of=as_of)
    except PipelineRefusedError:
        release = next((item.release for item in list_releases(lake) if item.version == model.version), None)
        if release is None:
            raise
        log.warning("The pipeline is refused, so no release can be built: release %s serves again as it was", release)
        return release


def list_releases(lake: Lake, last: int = LAST) -> list[ListedRelease]:
    """Return the newest releases, newest first: id, date, version, as_of, whether it is active, and its bar."""
    active, barred = read_active(lake), barred_versions(read_chain(lake))
    releases = []
    for name in list_release_names(lake)[:last]:
        manifest = describe_release(lake, name)
        bar = barred.get(manifest["version"])
        why = describe_bar(bar) if bar else ""
        releases.append(
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
    return releases


def _is_unfinished(chain: Chain, active: Active, day: date, serving: str) -> bool:
    """Return whether a rollback to the active release was interrupted in its soak."""
    if active.soaked or not chain.interventions:
        return False
    last = chain.interventions[-1]
    if last.target is not None or last.who == DEPLOY:
        return last.target == active.release
    return last.barred not in (None, serving) and last.date >= day.isoformat()  # an earlier version of Perennial recorded it


def _versions_to_bar(chain: Chain, day: date, serving: str, wanted: str | None) -> list[str]:
    """Return the serving version and, with a wanted version, every champion in between. The wanted version is not barred."""
    if wanted is None:
        return [serving]
    bars: list[str] = []
    while (champion := champion_of(_bar(chain, day, bars), day).model) is not None and champion.version != wanted:
        bars.append(champion.version)
    return bars if serving in bars or serving == wanted else [serving, *bars]


def _bar(chain: Chain, day: date, versions: list[str]) -> Chain:
    for version in versions:
        chain = intervene(chain, Intervention(day.isoformat(), None, version, "", "", ""))
    return chain
