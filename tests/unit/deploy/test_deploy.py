"""Deploying: what reaches the endpoint, what falls back, what a killed deploy leaves, and the way back by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from lab import LAST, MACHINES, Lab
from scripted_runtime import ScriptedRuntime

from perennial.calendar import as_of
from perennial.deploy import protocol
from perennial.deploy.active import Active, move, read_active
from perennial.deploy.deploy import deploy, is_current
from perennial.deploy.rollback import list_releases, rollback
from perennial.errors import LostRaceError, PerennialError, RefusedError, ReleaseFailedError, ReleaseUnprovenError
from perennial.evaluate.chain import champion, incumbent
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.evaluate import evaluate
from perennial.runtime.base import EndpointMissingError

D1, D2, D3 = LAST - timedelta(days=3), LAST - timedelta(days=2), LAST - timedelta(days=1)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: str) -> Iterator[None]:
    """Run the block until the protocol reaches a step, and require that it does."""

    def kill(*args: Any, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(protocol, step, kill)
        with pytest.raises(Killed):
            yield


def decide(lab: Lab, day: date, weight: float = 0.1) -> str:
    """Train and evaluate a date; return the version of its mlp."""
    version = lab.train("mlp", day, weight)
    lab.train("logistic", day, -0.05)
    evaluate(lab.lake, day, run_id=f"run-{day}")
    return version


def forced(lab: Lab, day: date, weight: float = 0.1) -> str:
    """Like decide, promoted in any case: these tests are about what comes after."""
    version = lab.train("mlp", day, weight)
    lab.train("logistic", day, -0.05)
    evaluate(lab.lake, day, run_id=f"run-{day}", force_decision="PROMOTE", force_reason="test")
    return version


def test_the_champion_of_the_newest_date_goes_live(lab: Lab, runtime: ScriptedRuntime):
    version = decide(lab, D1)
    assert not is_current(lab.lake, D1, runtime)
    found = deploy(lab.lake, D1, runtime)
    assert (found["outcome"], found["version"], found["as_of"]) == ("done", version, str(as_of(D1)))
    assert runtime.live.release == found["released"]
    active = read_active(lab.lake)
    assert (active.release, active.previous, active.soaked) == (found["released"], None, True)
    assert found["serve_check"]["errors"] == found["soak"]["errors"] == 0
    assert is_current(lab.lake, D1, runtime)


def test_an_active_release_is_not_deployed_again(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    first = deploy(lab.lake, D1, runtime)
    again = deploy(lab.lake, D1, runtime)
    assert (again["outcome"], again["released"]) == ("unchanged", first["released"])
    assert runtime.staged_releases == [first["released"]]


def test_after_hold_the_champion_is_released_again_with_the_new_lookups(lab: Lab, runtime: ScriptedRuntime):
    version = decide(lab, D1)
    first = deploy(lab.lake, D1, runtime)
    decide(lab, D2, weight=-0.05)
    found = deploy(lab.lake, D2, runtime)
    assert (found["version"], found["as_of"]) == (version, str(as_of(D2)))
    assert found["released"] != first["released"]
    assert read_active(lab.lake).previous == first["released"]


def test_without_a_decision_or_a_champion_there_is_nothing_to_release(lab: Lab, runtime: ScriptedRuntime):
    assert deploy(lab.lake, D1, runtime)["reason"] == f"{D1} has no decision"
    decide(lab, D1, weight=-0.05)
    assert deploy(lab.lake, D1, runtime)["reason"] == "no version has passed the gate yet"
    assert is_current(lab.lake, D1, runtime)
    assert read_active(lab.lake).release is None


def test_an_older_date_never_reaches_the_endpoint(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D2)
    live = deploy(lab.lake, D2, runtime)["released"]
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    assert (found["outcome"], found["reason"]) == ("skipped", f"{D1} is not the newest date: {D2} is decided")
    assert is_current(lab.lake, D1, runtime)
    assert read_active(lab.lake).release == live


def test_a_later_drop_that_is_complete_makes_a_date_old(
    lab: Lab, runtime: ScriptedRuntime, s3: Any, land_drops: Callable[..., None]
):
    decide(lab, D1)
    s3.put(lab.pipeline.sources["readings"].drop_uri(D2) + "readings-1.csv", b"half a drop")
    assert deploy(lab.lake, D1, runtime)["outcome"] == "done"
    land_drops(s3.put, lab.pipeline, D2, D2)
    assert deploy(lab.lake, D1, runtime)["reason"] == f"{D1} is not the newest date: {D2} has landed"


def test_what_only_has_the_name_of_a_manifest_keeps_no_deploy_from_happening(lab: Lab, runtime: ScriptedRuntime, s3: Any):
    decide(lab, D1)
    s3.put(lab.pipeline.sources["readings"].drop_uri(D2) + "_MANIFEST.json", b"oops")
    assert deploy(lab.lake, D1, runtime)["outcome"] == "done"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"format": 1}', b'{"format": 1, "entries": {"x": {"y": 1}}}'])
@pytest.mark.parametrize("which", ["chain", "active"])
def test_a_damaged_chain_or_pointer_is_named(lab: Lab, s3: Any, which: str, body: bytes):
    address = getattr(lab.lake.layout, which)
    s3.put(address, body)
    with pytest.raises(PerennialError, match=f"{address} is damaged"):
        (read_chain if which == "chain" else read_active)(lab.lake)


@pytest.mark.parametrize("which", ["chain", "active"])
def test_a_chain_or_pointer_of_another_format_is_named(lab: Lab, s3: Any, which: str):
    address = getattr(lab.lake.layout, which)
    s3.put(address, b'{"format": 2}')
    with pytest.raises(PerennialError, match=f"{address}: format 2, expected 1"):
        (read_chain if which == "chain" else read_active)(lab.lake)


def test_a_drop_dated_in_the_future_keeps_no_deploy_from_happening(
    lab: Lab, runtime: ScriptedRuntime, s3: Any, land_drops: Callable[..., None]
):
    decide(lab, D1)
    future = datetime.now(UTC).date() + timedelta(days=30)
    land_drops(s3.put, lab.pipeline, future, future)
    assert deploy(lab.lake, D1, runtime)["outcome"] == "done"


def test_what_became_newest_meanwhile_is_noticed_at_the_switch(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    runtime.before_switch = lambda: decide(lab, D2)
    found = deploy(lab.lake, D1, runtime)
    assert (found["outcome"], found["released"]) == ("skipped", None)
    assert f"{D2} is decided" in found["reason"]
    assert read_active(lab.lake).release is None


def test_a_release_that_does_not_start_is_barred_and_the_one_before_is_released_instead(lab: Lab, runtime: ScriptedRuntime):
    good = forced(lab, D1)
    first = deploy(lab.lake, D1, runtime)["released"]
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
    assert champion(chain, D2) == incumbent(chain, D3) == champion(chain, D1)
    assert active.release != first
    assert runtime.version(str(active.release)) == good
    assert deploy(lab.lake, D2, runtime)["outcome"] == "unchanged"


def test_wrong_golden_answers_are_quoted_with_the_record_and_the_log(lab: Lab, runtime: ScriptedRuntime):
    bad = forced(lab, D1)
    runtime.staged.shift = 0.25
    with pytest.raises(ReleaseFailedError) as failure:
        deploy(lab.lake, D1, runtime)
    text = str(failure.value)
    assert "golden request 0: probability" in text
    assert "expected 0." in text
    assert read_active(lab.lake).release is None
    assert champion(read_chain(lab.lake), D1) is None
    assert read_chain(lab.lake).interventions[0].barred == bad


def test_a_slow_release_is_refused_with_what_was_found(lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("perennial.deploy.serve_check.REQUESTS", 5)
    good = forced(lab, D1)
    deploy(lab.lake, D1, runtime)
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
    with pytest.raises(ReleaseUnprovenError, match="no release serves to compare with"):
        deploy(lab.lake, D1, runtime)
    runtime.staged.delay_seconds = 0
    first = deploy(lab.lake, D1, runtime)["released"]
    forced(lab, D2, weight=0.11)
    runtime.staged.delay_seconds = runtime.live.delay_seconds = 0.3
    with pytest.raises(ReleaseUnprovenError, match="the release that serves fails the same check now") as failure:
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
    first = deploy(lab.lake, D1, runtime)["released"]
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
    first = deploy(lab.lake, D1, runtime)["released"]
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
    assert deploy(lab.lake, D2, runtime)["version"] == version


def test_a_server_that_was_killed_while_it_was_staged_bars_no_version(lab: Lab, runtime: ScriptedRuntime):
    version = forced(lab, D1)
    runtime.is_killed = True
    with pytest.raises(ReleaseUnprovenError, match="was ended by SIGKILL"):
        deploy(lab.lake, D1, runtime)
    runtime.is_killed = False
    assert deploy(lab.lake, D1, runtime)["version"] == version


def test_a_rollback_in_the_soak_of_a_deploy_is_no_failure_of_its_release(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    good = forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    bad = forced(lab, D2, weight=0.11)
    real = protocol.soak

    def interrupted(url: str, golden: Any, seconds: float) -> Any:
        monkeypatch.setattr(protocol, "soak", real)
        rollback(lab.lake, reason="it flags every machine", who="ann", runtime=runtime)
        return real(url, golden, seconds)

    monkeypatch.setattr(protocol, "soak", interrupted)
    found = deploy(lab.lake, D2, runtime)
    assert (found["outcome"], found["released"]) == ("skipped", None)
    assert "was made active meanwhile" in found["reason"]
    assert [(item.barred, item.who) for item in read_chain(lab.lake).interventions] == [(bad, "ann")]
    active = read_active(lab.lake)
    assert (runtime.version(str(active.release)), active.soaked) == (good, True)


def test_a_release_that_fails_its_soak_goes_back_at_once(lab: Lab, runtime: ScriptedRuntime):
    good = forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    bad = forced(lab, D2, weight=0.11)
    runtime.wrong_when_live = {bad}
    with pytest.raises(ReleaseFailedError, match="soak") as failure:
        deploy(lab.lake, D2, runtime)
    assert "1 of 1 requests failed" in str(failure.value)
    assert runtime.version(str(runtime.live.release)) == good
    assert runtime.version(str(read_active(lab.lake).release)) == good


def test_an_endpoint_that_refuses_the_release_goes_back(lab: Lab, runtime: ScriptedRuntime):
    forced(lab, D1)
    deploy(lab.lake, D1, runtime)
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
    first = deploy(lab.lake, D1, runtime)["released"]
    decide(lab, D2, weight=-0.05)
    runtime.staged.shift = 0.25
    with pytest.raises(ReleaseFailedError, match="golden requests") as failure:
        deploy(lab.lake, D2, runtime)
    assert f"version {version} is not barred; release {first} stays active" in str(failure.value)
    chain = read_chain(lab.lake)
    assert [item.barred for item in chain.interventions] == [None]
    assert incumbent(chain, D3) == champion(chain, D1)


def test_when_the_fallback_fails_too_no_more_versions_are_barred(lab: Lab, runtime: ScriptedRuntime):
    forced(lab, D1)
    first = deploy(lab.lake, D1, runtime)["released"]
    bad = forced(lab, D2, weight=0.11)
    runtime.staged.shift = 0.25
    with pytest.raises(ReleaseFailedError, match="did not pass instead either"):
        deploy(lab.lake, D2, runtime)
    assert [item.barred for item in read_chain(lab.lake).interventions] == [bad, None]
    assert read_active(lab.lake).release == first


def test_without_a_model_server_the_release_is_active_and_the_error_says_what_to_start(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    runtime.is_missing = True
    with pytest.raises(EndpointMissingError, match="make up"):
        deploy(lab.lake, D1, runtime)
    active = read_active(lab.lake)
    assert active.release is not None
    assert not active.soaked
    assert not read_chain(lab.lake).interventions
    assert not is_current(lab.lake, D1, runtime)
    runtime.is_missing = False
    assert deploy(lab.lake, D1, runtime)["outcome"] == "done"
    assert len(runtime.staged_releases) == 1, "the rest of the protocol is made up, not all of it"
    assert is_current(lab.lake, D1, runtime)


@pytest.mark.parametrize("step", ["read_golden", "serve_check", "move", "soak"])
def test_a_deploy_killed_at_any_step_is_finished_by_the_next(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch, step: str
):
    forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    version = forced(lab, D2, weight=0.11)

    with killed_at(monkeypatch, step):
        deploy(lab.lake, D2, runtime)
    found = deploy(lab.lake, D2, runtime)
    assert (found["outcome"], found["version"]) == ("done", version)
    active = read_active(lab.lake)
    assert (active.release, active.soaked) == (found["released"], True)


def test_a_release_whose_deploy_was_killed_is_not_what_the_next_date_goes_back_to(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    forced(lab, D1)
    good = deploy(lab.lake, D1, runtime)["released"]
    forced(lab, D2, weight=0.11)

    with killed_at(monkeypatch, "soak"):
        deploy(lab.lake, D2, runtime)
    forced(lab, D3, weight=0.12)
    deploy(lab.lake, D3, runtime)
    assert read_active(lab.lake).previous == good


def test_a_pointer_that_moved_meanwhile_is_not_overwritten(lab: Lab):
    was = read_active(lab.lake)
    move(lab.lake, was, "2026-03-02-aaaaaaaaaaaa", None, soaked=True)
    with pytest.raises(LostRaceError, match="release 2026-03-02-aaaaaaaaaaaa is active now"):
        move(lab.lake, was, "2026-03-01-bbbbbbbbbbbb", None, soaked=True)


def test_a_pointer_without_the_soaked_mark_counts_as_soaked(lab: Lab):
    lab.lake.objects.create(lab.lake.layout.active, b'{"format":1,"release":"2026-03-02-aaaaaaaaaaaa","previous":null}')
    assert read_active(lab.lake).soaked


@pytest.mark.parametrize(("soaked", "good"), [(True, "new"), (False, "old")])
def test_what_to_go_back_to(soaked: bool, good: str):
    assert Active("new", "old", soaked, "etag").good == good


def test_rollback_bars_the_version_and_releases_the_one_before(lab: Lab, runtime: ScriptedRuntime):
    good = forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    bad = forced(lab, D2, weight=0.11)
    deploy(lab.lake, D2, runtime)
    found = rollback(lab.lake, reason="it flags every machine", who="ann", runtime=runtime)
    assert (found["version"], found["barred"]) == (good, [bad])
    assert runtime.version(str(runtime.live.release)) == good
    chain = read_chain(lab.lake)
    assert (chain.interventions[0].who, chain.interventions[0].reason) == ("ann", "it flags every machine")
    assert incumbent(chain, D3) == champion(chain, D1)
    assert deploy(lab.lake, D2, runtime)["outcome"] == "unchanged", "a rerun does not bring it back"
    listed = list_releases(lab.lake)
    assert [item["serves"] for item in listed].count(True) == 1
    assert {item["version"]: item["barred"] for item in listed} == {good: False, bad: True}


def test_rollback_to_a_release_bars_every_champion_since(lab: Lab, runtime: ScriptedRuntime):
    oldest = forced(lab, D1)
    target = deploy(lab.lake, D1, runtime)["released"]
    middle = forced(lab, D2, weight=0.11)
    deploy(lab.lake, D2, runtime)
    newest = forced(lab, D3, weight=0.12)
    deploy(lab.lake, D3, runtime)
    found = rollback(lab.lake, reason="both are wrong", who="ann", to=target, runtime=runtime)
    assert (found["released"], found["barred"]) == (target, [newest, middle])
    left = champion(read_chain(lab.lake), D3)
    assert left is not None
    assert left.version == oldest


def test_rollback_to_an_earlier_release_of_the_same_version_bars_nothing(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    target = deploy(lab.lake, D1, runtime)["released"]
    decide(lab, D2, weight=-0.05)
    deploy(lab.lake, D2, runtime)
    found = rollback(lab.lake, reason="the lookups are off", who="ann", to=target, runtime=runtime)
    assert (found["released"], found["barred"]) == (target, [])


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("step", ["serve_check", "move", "soak"])
def test_an_interrupted_rollback_is_finished_by_the_next(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch, step: str, named: bool
):
    forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    good = forced(lab, D2, weight=0.11)
    target = deploy(lab.lake, D2, runtime)["released"] if named else None
    forced(lab, D3, weight=0.12)
    bad = deploy(lab.lake, D3, runtime)["released"]

    with killed_at(monkeypatch, step):
        rollback(lab.lake, reason="bad", who="ann", to=target, runtime=runtime)
    assert read_active(lab.lake).previous != bad
    found = rollback(lab.lake, reason="bad", who="ann", to=target, runtime=runtime)
    assert found["version"] == good
    assert len(read_chain(lab.lake).interventions) == 1
    active = read_active(lab.lake)
    assert (active.release, active.soaked) == (found["released"], True)


def test_a_deploy_after_an_interrupted_rollback_never_goes_back_to_what_was_barred(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    forced(lab, D1)
    good = deploy(lab.lake, D1, runtime)["released"]
    forced(lab, D2, weight=0.11)
    deploy(lab.lake, D2, runtime)

    with killed_at(monkeypatch, "soak"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    runtime.wrong_when_live = {forced(lab, D3, weight=0.12)}
    with pytest.raises(ReleaseFailedError, match=f"release {good} serves again"):
        deploy(lab.lake, D3, runtime)


def test_a_rollback_from_a_release_whose_deploy_was_killed_bars_it(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    middle = forced(lab, D2, weight=0.11)
    deploy(lab.lake, D2, runtime)
    rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    newest = forced(lab, D3, weight=0.12)

    with killed_at(monkeypatch, "soak"):
        deploy(lab.lake, D3, runtime)
    assert rollback(lab.lake, reason="bad as well", who="ann", runtime=runtime)["barred"] == [newest]
    assert [item.barred for item in read_chain(lab.lake).interventions] == [middle, newest]


def test_a_rollback_is_not_held_up_by_a_slow_machine(lab: Lab, runtime: ScriptedRuntime):
    good = forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    forced(lab, D2, weight=0.11)
    deploy(lab.lake, D2, runtime)
    runtime.staged.delay_seconds = runtime.live.delay_seconds = 0.3
    assert rollback(lab.lake, reason="bad", who="ann", runtime=runtime)["version"] == good


def test_rollback_is_refused_where_there_is_no_way_back(lab: Lab, runtime: ScriptedRuntime):
    with pytest.raises(RefusedError, match="no release serves"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    decide(lab, D1)
    live = deploy(lab.lake, D1, runtime)["released"]
    with pytest.raises(RefusedError, match="no version left to go back to"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    with pytest.raises(RefusedError, match="serves already"):
        rollback(lab.lake, reason="bad", who="ann", to=live, runtime=runtime)
    with pytest.raises(RefusedError, match="who and why"):
        rollback(lab.lake, reason=" ", who="ann", runtime=runtime)
    assert not read_chain(lab.lake).interventions


def test_changed_lookups_of_the_same_date_make_it_not_current(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    rows = [{"as_of": as_of(D1), "machine": name, "rate": 0.5} for name in MACHINES]
    lab.write_table("lookup_machine_rates", pa.Table.from_pylist(rows), "as_of")
    assert not is_current(lab.lake, D1, runtime)
    assert deploy(lab.lake, D1, runtime)["outcome"] == "done"
