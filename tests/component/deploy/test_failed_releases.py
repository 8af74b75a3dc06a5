"""Releases that fail: what is barred and what is not, what serves then, and what the error says."""

from __future__ import annotations

from typing import Any

import pytest
from lab import Lab
from scripted_runtime import ScriptedRuntime
from steps import D1, D2, D3, decide, forced, released

from perennial.deploy import protocol
from perennial.deploy.active import read_active
from perennial.deploy.deploy import deploy
from perennial.deploy.rollback import rollback
from perennial.errors import RefusedError, ReleaseFailedError, ReleaseUnprovenError
from perennial.evaluate.chain import incumbent
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import champion_of


def test_a_release_that_does_not_start_is_barred_and_the_one_before_is_released_instead(lab: Lab, runtime: ScriptedRuntime):
    good = forced(lab, D1)
    first = deploy(lab.lake, D1, runtime).released
    bad = forced(lab, D2, weight=0.11)
    runtime.refuses = {bad}
    with pytest.raises(ReleaseFailedError, match="its server ended with 65") as failure:
        deploy(lab.lake, D2, runtime)
    text = str(failure.value)
    assert "unknown input" in text
    assert f"version {bad} is barred" in text
    assert f"version {good} serves instead" in text
    chain, active = read_chain(lab.lake), read_active(lab.lake)
    assert (chain.interventions[0].barred, chain.interventions[0].who) == (bad, "deploy")
    assert champion_of(chain, D2).model == incumbent(chain, D3) == champion_of(chain, D1).model
    assert active.release != first
    assert runtime.version(str(active.release)) == good
    assert deploy(lab.lake, D2, runtime).outcome == "unchanged"


def test_wrong_golden_answers_are_quoted_with_the_record_and_the_log(lab: Lab, runtime: ScriptedRuntime):
    bad = forced(lab, D1)
    runtime.staged.shift = 0.25
    with pytest.raises(ReleaseFailedError) as failure:
        deploy(lab.lake, D1, runtime)
    text = str(failure.value)
    assert "golden request 0: probability" in text
    assert "expected 0." in text
    assert read_active(lab.lake).release is None
    assert champion_of(read_chain(lab.lake), D1).model is None
    assert read_chain(lab.lake).interventions[0].barred == bad


def test_a_slow_release_is_refused_with_what_was_found(lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("perennial.deploy.serve_check.REQUESTS", 5)
    good = released(lab, runtime, D1)
    bad = forced(lab, D2, weight=0.11)
    runtime.slow_versions = {bad}
    with pytest.raises(ReleaseFailedError, match="5 of 5 requests took longer than 250 ms") as failure:
        deploy(lab.lake, D2, runtime)
    assert f"version {bad} is barred" in str(failure.value)
    assert runtime.version(str(runtime.live.release)) == good


def test_a_slow_machine_bars_no_version(lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("perennial.deploy.serve_check.REQUESTS", 5)
    forced(lab, D1)
    runtime.staged.delay_seconds = 0.3
    with pytest.raises(ReleaseUnprovenError, match="no release serves, so there is nothing to compare with"):
        deploy(lab.lake, D1, runtime)
    runtime.staged.delay_seconds = 0
    first = deploy(lab.lake, D1, runtime).released
    forced(lab, D2, weight=0.11)
    runtime.staged.delay_seconds = runtime.live.delay_seconds = 0.3
    with pytest.raises(ReleaseUnprovenError, match="the serving release fails the same check now") as failure:
        deploy(lab.lake, D2, runtime)
    assert "nothing is barred" in str(failure.value)
    assert not read_chain(lab.lake).interventions
    assert read_active(lab.lake).release == first


def test_a_release_that_is_slow_only_when_live_is_barred_unless_the_one_before_is_slow_too(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("perennial.deploy.serve_check.REQUESTS", 5)
    monkeypatch.setattr("perennial.deploy.protocol.soak", lambda url, golden, seconds: protocol.serve_check(url, golden))
    forced(lab, D1)
    first = deploy(lab.lake, D1, runtime).released
    bad = forced(lab, D2, weight=0.11)
    runtime.live.delay_seconds = 0.3
    with pytest.raises(ReleaseUnprovenError, match=f"release {first} serves again"):
        deploy(lab.lake, D2, runtime)
    assert not read_chain(lab.lake).interventions
    runtime.live.delay_seconds = 0
    runtime.slow_when_live = {bad}
    with pytest.raises(ReleaseFailedError, match=f"version {bad} is barred"):
        deploy(lab.lake, D2, runtime)


@pytest.mark.parametrize("server", ["staged", "live"])
@pytest.mark.parametrize("how", ["gone", "stopping"])
def test_a_server_that_goes_away_bars_no_version(lab: Lab, runtime: ScriptedRuntime, server: str, how: str):
    forced(lab, D1)
    first = deploy(lab.lake, D1, runtime).released
    version = forced(lab, D2, weight=0.11)
    getattr(runtime, server).fails = how
    with pytest.raises(ReleaseUnprovenError, match="nothing is barred") as failure:
        deploy(lab.lake, D2, runtime)
    assert ("no answer" if how == "gone" else "HTTP 503") in str(failure.value)
    # What was live is not tried again at once: users would pay for it.
    assert failure.value.retryable == (server == "staged")
    assert isinstance(failure.value, RefusedError) == (server == "live")
    assert not read_chain(lab.lake).interventions
    active = read_active(lab.lake)
    assert (active.release, active.soaked) == (first, True)
    getattr(runtime, server).fails = ""
    assert deploy(lab.lake, D2, runtime).version == version


def test_a_server_that_was_killed_while_it_was_staged_bars_no_version(lab: Lab, runtime: ScriptedRuntime):
    version = forced(lab, D1)
    runtime.is_killed = True
    with pytest.raises(ReleaseUnprovenError, match="was ended by SIGKILL"):
        deploy(lab.lake, D1, runtime)
    runtime.is_killed = False
    assert deploy(lab.lake, D1, runtime).version == version


def test_a_rollback_in_the_soak_of_a_deploy_is_no_failure_of_its_release(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    good = released(lab, runtime, D1)
    bad = forced(lab, D2, weight=0.11)
    real = protocol.soak

    def interrupted(url: str, golden: Any, seconds: float) -> Any:
        monkeypatch.setattr(protocol, "soak", real)
        rollback(lab.lake, reason="it flags every machine", who="ann", runtime=runtime)
        return real(url, golden, seconds)

    monkeypatch.setattr(protocol, "soak", interrupted)
    found = deploy(lab.lake, D2, runtime)
    assert (found.outcome, found.released) == ("skipped", None)
    assert "was replaced during its soak" in found.reason
    assert [(item.barred, item.who) for item in read_chain(lab.lake).interventions] == [(bad, "ann")]
    active = read_active(lab.lake)
    assert (runtime.version(str(active.release)), active.soaked) == (good, True)


def test_a_release_that_fails_its_soak_goes_back_at_once(lab: Lab, runtime: ScriptedRuntime):
    good = released(lab, runtime, D1)
    bad = forced(lab, D2, weight=0.11)
    runtime.wrong_when_live = {bad}
    with pytest.raises(ReleaseFailedError, match="soak") as failure:
        deploy(lab.lake, D2, runtime)
    assert "1 of 1 requests failed" in str(failure.value)
    assert runtime.version(str(runtime.live.release)) == good
    assert runtime.version(str(read_active(lab.lake).release)) == good


def test_an_endpoint_that_refuses_the_release_goes_back(lab: Lab, runtime: ScriptedRuntime):
    released(lab, runtime, D1)
    bad = forced(lab, D2, weight=0.11)
    runtime.ignores = {bad}
    with pytest.raises(ReleaseUnprovenError, match="still answers from another"):
        deploy(lab.lake, D2, runtime)
    assert runtime.version(str(read_active(lab.lake).release)) != bad
    assert not read_chain(lab.lake).interventions


def test_the_first_release_that_fails_its_soak_leaves_nothing_active(lab: Lab, runtime: ScriptedRuntime):
    runtime.wrong_when_live = {forced(lab, D1)}
    with pytest.raises(ReleaseFailedError, match="there is no release to go back to"):
        deploy(lab.lake, D1, runtime)
    assert read_active(lab.lake).release is None


def test_a_version_that_serves_is_not_barred_when_its_new_release_fails(lab: Lab, runtime: ScriptedRuntime):
    version = decide(lab, D1)
    first = deploy(lab.lake, D1, runtime).released
    decide(lab, D2, weight=-0.05)
    runtime.staged.shift = 0.25
    with pytest.raises(ReleaseFailedError, match="golden requests") as failure:
        deploy(lab.lake, D2, runtime)
    assert f"version {version} is not barred; release {first} stays active" in str(failure.value)
    chain = read_chain(lab.lake)
    assert [item.barred for item in chain.interventions] == [None]
    assert incumbent(chain, D3) == champion_of(chain, D1).model


def test_when_the_fallback_fails_too_no_more_versions_are_barred(lab: Lab, runtime: ScriptedRuntime):
    forced(lab, D1)
    first = deploy(lab.lake, D1, runtime).released
    bad = forced(lab, D2, weight=0.11)
    runtime.staged.shift = 0.25
    with pytest.raises(ReleaseFailedError, match="tried instead, failed too"):
        deploy(lab.lake, D2, runtime)
    assert [item.barred for item in read_chain(lab.lake).interventions] == [bad, None]
    assert read_active(lab.lake).release == first
