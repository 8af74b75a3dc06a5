"""
The release protocol, the same for every runtime: stage → serve-check → switch → soak → done, or back with the cause quoted.

It can be killed at any point. What a killed one leaves is a pointer at the previous release, or at this one with soaked=false;
the next run finishes from there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from perennial.deploy.active import move, read_active
from perennial.deploy.release import read_release
from perennial.deploy.serve_check import Golden, serve_check, soak
from perennial.errors import PerennialError, ReleaseFailedError
from perennial.evaluate.holdout import read_file
from perennial.lake.lake import Lake
from perennial.runtime.base import Runtime, StageFailedError

log = logging.getLogger(__name__)


class NoLongerNewestError(PerennialError):
    """Something newer came while a release was staged; it was not switched to."""


def bring_live(lake: Lake, runtime: Runtime, release: str, may_switch: Callable[[], str | None]) -> dict[str, Any]:
    """
    Bring a built release live and return what each step showed.

    `may_switch` is asked right before the switch, after the pointer was read: a reason means no.

    :raises ReleaseFailedError: it did not pass; the previous release serves
    :raises EndpointMissingError: it is active, but nothing follows the pointer
    """
    golden = read_golden(lake, release)
    facts: dict[str, Any] = {}
    active = read_active(lake)
    if active.release != release:
        facts["serve_check"] = _staged_check(runtime, golden)
        was = read_active(lake)
        if reason := may_switch():
            raise NoLongerNewestError(f"Release {release} was not switched to: {reason}")
        # Another run of this date may have switched meanwhile; then this one only watches.
        active = was if was.release == release else move(lake, was, release, was.good, soaked=False)
    if active.soaked and not facts:
        return facts
    log.info("Switched to release %s", release)
    try:
        started = time.monotonic()
        runtime.switch(release)
        facts["switch_seconds"] = round(time.monotonic() - started, 3)
        facts["soak"] = soak(runtime.endpoint_url(), golden, lake.pipeline.deployment.soak_seconds).facts()
    except ReleaseFailedError as error:
        raise ReleaseFailedError(error.what, [*error.problems, _go_back(lake, runtime, release)], error.remedy) from error
    now = read_active(lake)
    if now.release == release and not now.soaked:
        move(lake, now, release, now.previous, soaked=True)
    return facts


def read_golden(lake: Lake, release: str) -> Golden:
    """Return the golden requests of a release."""
    manifest = read_release(lake, release)
    golden = json.loads(read_file(lake, manifest, "golden.json"))
    return Golden(release, golden["records"], golden["probabilities"], manifest["p99_ms"])


def _staged_check(runtime: Runtime, golden: Golden) -> dict[str, Any]:
    try:
        url = runtime.stage(golden.release)
        log.info("Staged release %s at %s", golden.release, url)
        return serve_check(url, golden).facts()
    except StageFailedError:
        raise  # it quotes the server's log already
    except ReleaseFailedError as error:
        said = "the staged server's last lines:\n    " + "\n    ".join(runtime.staged_log())
        raise ReleaseFailedError(error.what, [*error.problems, said], error.remedy) from error
    finally:
        runtime.unstage()


def _go_back(lake: Lake, runtime: Runtime, release: str) -> str:
    """Return to the release before, users first: reports and the chain come after. Says where the endpoint is now."""
    now = read_active(lake)
    if now.release != release:
        return f"another run made release {now.release} active meanwhile"
    move(lake, now, now.previous, None, soaked=True)
    if now.previous is None:
        return "there is no release to go back to: nothing serves"
    try:
        runtime.switch(now.previous)
    except PerennialError as error:
        return f"release {now.previous} is active again, but the endpoint did not return to it: {error}"
    return f"release {now.previous} serves again"
