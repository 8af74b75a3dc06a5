"""
The release protocol, the same for every runtime: stage → serve-check → switch → soak → done, or back with the cause quoted.

It can be killed at any point. What a killed one leaves is a pointer at the previous release, or at this one with soaked=false;
the next run finishes from there.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from perennial.deploy.active import Active, move, read_active
from perennial.deploy.release import read_release
from perennial.deploy.serve_check import Golden, Numbers, TooSlowError, serve_check, soak
from perennial.errors import (
    PerennialError,
    RefusedError,
    ReleaseFailedError,
    ReleaseUnprovenError,
    ReleaseWithdrawnError,
)
from perennial.evaluate.chain import is_barred
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.holdout import read_file
from perennial.lake.lake import Lake
from perennial.runtime.base import EndpointMissingError, Runtime
from perennial.settings import describe_missing, get_settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Steps:
    """What the steps of a release showed; None: it was not needed, since the release is live already."""

    serve_check: Numbers | None = None
    switch_seconds: float | None = None
    soak: Numbers | None = None


class SupersededError(PerennialError):
    """Something newer came: a later date before the switch, or another release that was made active in the soak."""


def bring_live(
    lake: Lake, runtime: Runtime, release: str, may_switch: Callable[[], str | None], *, judge_latency: bool = True
) -> Steps:
    """
    Bring a built release live and return what each step showed.

    `may_switch` is asked right before the switch, after the pointer was read: a reason means no.

    :raises ReleaseFailedError: its version is to blame; the previous release serves
    :raises ReleaseUnprovenError: it could not be judged; the previous release serves
    :raises SupersededError: something newer came
    :raises EndpointMissingError: it is active, but nothing follows the pointer
    """
    golden = read_golden(lake, release)
    if not judge_latency:
        golden = replace(golden, p99_ms=math.inf)
    before = read_active(lake)
    refuse_elsewhere(lake, before, runtime)
    _sweep(lake, runtime, release)
    try:
        return _bring_live(lake, runtime, golden, before, may_switch)
    finally:
        _tidy(lake, runtime, {release, before.release})


def _bring_live(lake: Lake, runtime: Runtime, golden: Golden, active: Active, may_switch: Callable[[], str | None]) -> Steps:
    release = golden.release
    checked: Numbers | None = None
    if active.release != release:
        checked = _staged_check(lake, runtime, golden)
        was = read_active(lake)
        if reason := may_switch():
            raise SupersededError(f"Release {release} was not switched to: {reason}")
        # Another run of this date may have switched meanwhile; then this one only watches.
        active = (
            was if was.release == release else move(lake, was, release, way_back(lake, was), soaked=False, runtime=runtime.name)
        )
    if active.soaked and checked is None and runtime.follows(release):
        return Steps()
    log.info("Switched to release %s", release)
    try:
        started = time.monotonic()
        runtime.switch(release)
        switch_seconds = round(time.monotonic() - started, 3)
        soaked = soak(runtime.endpoint(), golden, lake.pipeline.deployment.soak_seconds).facts()
    except (EndpointMissingError, SupersededError):
        raise
    except PerennialError as error:
        if active.soaked:
            raise  # it was good, and there is nothing better to go back to
        # Whatever it is, users must not be left between two releases.
        raise _withdraw(lake, runtime, release, _as_failure(error)) from error
    now = _still_active(lake, release)
    if not now.soaked:
        move(lake, now, release, now.previous, soaked=True, runtime=runtime.name)
    return Steps(checked, switch_seconds, soaked)


def _as_failure(error: PerennialError) -> ReleaseFailedError | ReleaseUnprovenError:
    if isinstance(error, ReleaseFailedError | ReleaseUnprovenError):
        return error
    return ReleaseUnprovenError(error.what, error.problems, error.remedy)


def way_back(lake: Lake, was: Active) -> str | None:
    """Return the last release that passed its soak and whose version nobody has barred since, or None."""
    chain = read_chain(lake)
    candidates = [name for name in (was.good, was.previous) if name is not None]
    return next((name for name in candidates if not is_barred(chain, read_release(lake, name)["version"])), None)


def read_golden(lake: Lake, release: str) -> Golden:
    """Return the golden requests of a release."""
    manifest = read_release(lake, release)
    golden = json.loads(read_file(lake, manifest, "golden.json"))
    return Golden(release, golden["records"], golden["probabilities"], manifest["p99_ms"])


def _staged_check(lake: Lake, runtime: Runtime, golden: Golden) -> Numbers:
    try:
        server = runtime.stage(golden.release)
        log.info("Staged release %s at %s", golden.release, server.base_url)
        try:
            return serve_check(server, golden).facts()
        except (ReleaseFailedError, ReleaseUnprovenError) as error:
            said = "the staged server's last lines:\n    " + "\n    ".join(runtime.staged_log())
            raise _blame(lake, runtime, error, [*error.problems, said]) from error
    finally:
        runtime.unstage()


def _withdraw(lake: Lake, runtime: Runtime, release: str, cause: ReleaseFailedError | ReleaseUnprovenError) -> PerennialError:
    """Return to the release before, users first: reports and the chain come after. Returns the error that says all of it."""
    now = _still_active(lake, release)
    move(lake, now, now.previous, None, soaked=True, runtime=runtime.name)
    if now.previous is None:
        said = "there is no release to go back to: nothing serves"
    else:
        try:
            runtime.switch(now.previous)
            said = f"release {now.previous} serves again"
        except PerennialError as error:
            said = f"release {now.previous} is active again, but the endpoint did not return to it: {error}"
    blamed = _blame(lake, runtime, cause, [*cause.problems, said])
    if isinstance(blamed, ReleaseUnprovenError):
        return ReleaseWithdrawnError(blamed.what, blamed.problems, blamed.remedy)
    return blamed


def refuse_elsewhere(lake: Lake, active: Active, runtime: Runtime) -> None:
    """Refuse to release on this machine what users get from a cluster, unless that is said in so many words."""
    if (active.runtime, runtime.name) == ("kubernetes", "process") and get_settings().runtime is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r}: release {active.release} serves on Kubernetes, this process would serve from this "
            f"machine: {describe_missing('runtime')}",
            remedy="Set PERENNIAL_RUNTIME=kubernetes, and what docs/how-to/run-on-kubernetes.md lists; "
            "PERENNIAL_RUNTIME=process if you mean to leave the cluster.",
        )


def leftovers(lake: Lake, runtime: Runtime) -> list[str]:
    """Return the releases that an interrupted deploy may have left; never one that serves or that users would go back to."""
    found = runtime.leftovers()
    needed = read_active(lake).needed if found else set()
    return [release for release in found if release not in needed]


def _sweep(lake: Lake, runtime: Runtime, release: str) -> None:
    for left in leftovers(lake, runtime):
        if left != release:
            log.warning("Release %s was left by a deploy that was interrupted: it is removed", left)
            runtime.remove(left)


def _tidy(lake: Lake, runtime: Runtime, releases: set[str | None]) -> None:
    """Take away those of the releases that serve nobody now, and that nobody would go back to."""
    for release in releases - read_active(lake).needed - {None}:
        try:
            runtime.remove(str(release))
        except PerennialError as error:
            log.warning("Release %s is left on the cluster, `perennial janitor` removes it: %s", release, error)


def _still_active(lake: Lake, release: str) -> Active:
    now = read_active(lake)
    if now.release != release:
        raise SupersededError(
            f"Release {release} was replaced in its soak: {now.release or 'no release'} was made active meanwhile"
        )
    return now


def _blame(
    lake: Lake, runtime: Runtime, cause: ReleaseFailedError | ReleaseUnprovenError, problems: list[str]
) -> ReleaseFailedError | ReleaseUnprovenError:
    """
    Return the failure with all its problems.

    Slowness is the version's fault only where the release that serves keeps its own bound at this very time: else it is the
    machine's, and with nothing to compare with nobody can tell.
    """
    if not isinstance(cause, TooSlowError):
        return type(cause)(cause.what, problems, cause.remedy)
    serving = read_active(lake).release
    if serving is None:
        excuse = "no release serves to compare with, so it may be the machine"
    else:
        try:
            serve_check(runtime.endpoint(), read_golden(lake, serving))
            return type(cause)(cause.what, problems, cause.remedy)
        except (ReleaseFailedError, ReleaseUnprovenError) as error:
            excuse = f"it may be the machine, the release that serves fails the same check now: {error}"
    return ReleaseUnprovenError(
        cause.what, [*problems, excuse], "Deploy again when the machine is calm, or raise deployment.p99_ms."
    )
