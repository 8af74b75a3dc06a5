"""
The release protocol, the same for every runtime: stage → serve-check → switch → soak → done, or back with an error.

It can be killed at any point. The pointer then names the previous release, or this one with soaked=false, and the next run
finishes from there.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from perennial.access.token_file import token_headers
from perennial.deploy.active import move, read_active
from perennial.deploy.release import read_release
from perennial.deploy.serve_check import Golden, Numbers, TooSlowError, serve_check, soak
from perennial.errors import (
    PerennialError,
    RefusedError,
    ReleaseFailedError,
    ReleaseUnprovenError,
    ReleaseWithdrawnError,
    SignatureRefusedError,
)
from perennial.evaluate.chain import is_barred
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.holdout import read_file
from perennial.lake.golden import read_golden_answers
from perennial.lake.lake import Lake
from perennial.runtime.base import EndpointMissingError, Runtime
from perennial.settings import describe_missing, get_settings
from perennial.signing.pointer import Active

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Steps:
    """The measurements of each step of a release; None: the step was not needed, because the release was already live."""

    serve_check: Numbers | None = None
    switch_seconds: float | None = None
    soak: Numbers | None = None


class SupersededError(PerennialError):
    """The release was superseded: by a later date before the switch, or by another release during the soak."""


def bring_live(
    lake: Lake, runtime: Runtime, release: str, may_switch: Callable[[], str | None], *, judge_latency: bool = True
) -> Steps:
    """
    Bring a built release live and return the measurements of each step.

    `may_switch` is called just before the switch, after the pointer was read. It returns a reason not to switch, or None.

    :raises ReleaseFailedError: its version is to blame; the previous release serves
    :raises ReleaseUnprovenError: it could not be judged; the previous release serves
    :raises SupersededError: a later date or another release superseded it
    :raises EndpointMissingError: it is active, but no server follows the pointer
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
        token_headers()  # no server can be checked without its tokens: refuse before one is started
        checked = _staged_check(lake, runtime, golden)
        was = read_active(lake)
        if reason := may_switch():
            raise SupersededError(f"Did not switch to release {release}: {reason}")
        # If another run of this date has switched already, this run only watches.
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
            raise  # it passed its soak before, so no better release exists to go back to
        # Go back after any error: users must not be left between two releases.
        raise _go_back(lake, runtime, release, _as_failure(error)) from error
    now = _still_active(lake, release)
    if not now.soaked:
        move(lake, now, release, now.previous, soaked=True, runtime=runtime.name)
    return Steps(checked, switch_seconds, soaked)


def _as_failure(error: PerennialError) -> ReleaseFailedError | ReleaseUnprovenError:
    if isinstance(error, ReleaseFailedError | ReleaseUnprovenError):
        return error
    return ReleaseUnprovenError(error.what, error.problems, error.remedy)


def way_back(lake: Lake, was: Active) -> str | None:
    """Return the last release that passed its soak, whose signature is valid and whose version is not barred, or None."""
    chain = read_chain(lake)
    for name in (was.good, was.previous):
        if name is None:
            continue
        try:
            version = read_release(lake, name)["version"]
        except SignatureRefusedError as error:
            log.warning("Nothing goes back to release %s: %s", name, error)
            continue
        if not is_barred(chain, version):
            return name
    return None


def read_golden(lake: Lake, release: str) -> Golden:
    """Return the golden requests of a release."""
    manifest = read_release(lake, release)
    golden = read_golden_answers(json.loads(read_file(lake, manifest, "golden.json")))
    return Golden(release, golden, manifest["p99_ms"])


def _staged_check(lake: Lake, runtime: Runtime, golden: Golden) -> Numbers:
    try:
        server = runtime.stage(golden.release)
        log.info("Staged release %s at %s", golden.release, server.base_url)
        try:
            return serve_check(server, golden).facts()
        except (ReleaseFailedError, ReleaseUnprovenError) as error:
            lines = "the last lines of the staged server's log:\n    " + "\n    ".join(runtime.staged_log())
            raise _blame(lake, runtime, error, [*error.problems, lines]) from error
    finally:
        runtime.unstage()


def _go_back(lake: Lake, runtime: Runtime, release: str, cause: ReleaseFailedError | ReleaseUnprovenError) -> PerennialError:
    """
    Go back to the previous release and return an error that reports all of this.

    Users come first: reports and the decision log are written afterwards.
    """
    now = _still_active(lake, release)
    move(lake, now, now.previous, None, soaked=True, runtime=runtime.name)
    if now.previous is None:
        outcome = "there is no release to go back to: no release serves"
    else:
        try:
            runtime.switch(now.previous)
            outcome = f"release {now.previous} serves again"
        except PerennialError as error:
            outcome = f"release {now.previous} is active again, but the endpoint did not return to it: {error}"
    blamed = _blame(lake, runtime, cause, [*cause.problems, outcome])
    if isinstance(blamed, ReleaseUnprovenError):
        return ReleaseWithdrawnError(blamed.what, blamed.problems, blamed.remedy)
    return blamed


def refuse_elsewhere(lake: Lake, active: Active, runtime: Runtime) -> None:
    """Refuse to serve on this machine what users get from a cluster, unless PERENNIAL_RUNTIME explicitly says so."""
    if (active.runtime, runtime.name) == ("kubernetes", "process") and get_settings().runtime is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r}: release {active.release} serves on Kubernetes, "
            f"but this process would serve from this machine: {describe_missing('runtime')}",
            remedy="Set PERENNIAL_RUNTIME=kubernetes and the settings that docs/how-to/run-on-kubernetes.md lists, "
            "or PERENNIAL_RUNTIME=process to move off the cluster.",
        )


def leftovers(lake: Lake, runtime: Runtime) -> list[str]:
    """Return releases that an interrupted deploy may have left, but never one that serves or that users would go back to."""
    releases = runtime.leftovers()
    needed = read_active(lake).needed if releases else set()
    return [release for release in releases if release not in needed]


def _sweep(lake: Lake, runtime: Runtime, release: str) -> None:
    for leftover in leftovers(lake, runtime):
        if leftover != release:
            log.warning("Removing release %s, which an interrupted deploy left", leftover)
            runtime.remove(leftover)


def _tidy(lake: Lake, runtime: Runtime, releases: set[str | None]) -> None:
    """Remove those of the releases that serve no one and that no one would go back to."""
    for release in releases - read_active(lake).needed - {None}:
        try:
            runtime.remove(str(release))
        except PerennialError as error:
            log.warning("Cannot remove release %s; `perennial janitor` removes it later: %s", release, error)


def _still_active(lake: Lake, release: str) -> Active:
    now = read_active(lake)
    if now.release != release:
        raise SupersededError(f"Release {release} was replaced during its soak: {now.release or 'no release'} is active now")
    return now


def _blame(
    lake: Lake, runtime: Runtime, cause: ReleaseFailedError | ReleaseUnprovenError, problems: list[str]
) -> ReleaseFailedError | ReleaseUnprovenError:
    """
    Return the failure with all its problems.

    Slowness is the version's fault only if the serving release is within its own limit at the same time.
    Otherwise the machine may be slow. Without a serving release, there is nothing to compare with, so the check is inconclusive.
    """
    if not isinstance(cause, TooSlowError):
        return type(cause)(cause.what, problems, cause.remedy)
    serving = read_active(lake).release
    if serving is None:
        excuse = "the machine may be slow: no release serves, so there is nothing to compare with"
    else:
        try:
            serve_check(runtime.endpoint(), read_golden(lake, serving))
            return type(cause)(cause.what, problems, cause.remedy)
        except (ReleaseFailedError, ReleaseUnprovenError) as error:
            excuse = f"the machine may be slow: the serving release fails the same check now: {error}"
    return ReleaseUnprovenError(
        cause.what, [*problems, excuse], "Deploy again when the machine is less busy, or raise deployment.p99_ms."
    )
