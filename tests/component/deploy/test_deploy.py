"""Deploying: what reaches the endpoint, what an older date may not, and what a killed deploy leaves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from lab import MACHINES, Lab, as_of
from scripted_runtime import ScriptedRuntime
from steps import D1, D2, D3, decide, forced, killed_at

from perennial.deploy.active import move, read_active
from perennial.deploy.deploy import deploy, is_current
from perennial.deploy.standing import read_standing
from perennial.errors import LostRaceError, PerennialError, RefusedError, ReleaseFailedError
from perennial.evaluate.chain_store import read_chain
from perennial.runtime.base import EndpointMissingError
from perennial.signing.pointer import Active


def test_the_champion_of_the_newest_date_goes_live(lab: Lab, runtime: ScriptedRuntime):
    version = decide(lab, D1)
    assert not is_current(lab.lake, D1, runtime)
    found = deploy(lab.lake, D1, runtime)
    assert (found.outcome, found.version, found.as_of) == ("done", version, str(as_of(D1)))
    assert runtime.live.release == found.released
    active = read_active(lab.lake)
    assert (active.release, active.previous, active.soaked) == (found.released, None, True)
    assert found.serve_check["errors"] == found.soak["errors"] == 0
    assert is_current(lab.lake, D1, runtime)


def test_an_active_release_is_not_deployed_again(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    first = deploy(lab.lake, D1, runtime)
    again = deploy(lab.lake, D1, runtime)
    assert (again.outcome, again.released) == ("unchanged", first.released)
    assert runtime.staged_releases == [first.released]


def test_without_the_file_of_tokens_no_server_is_started(lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch):
    decide(lab, D1)
    with monkeypatch.context() as patched:
        patched.setenv("PERENNIAL_SERVER_TOKENS", "/missing/tokens")
        with pytest.raises(RefusedError, match=r"^/missing/tokens, the file of the model servers' tokens: cannot be read"):
            deploy(lab.lake, D1, runtime)
    assert runtime.staged_releases == []
    assert deploy(lab.lake, D1, runtime).outcome == "done"  # no version is barred


def test_after_hold_the_champion_is_released_again_with_the_new_lookups(lab: Lab, runtime: ScriptedRuntime):
    version = decide(lab, D1)
    first = deploy(lab.lake, D1, runtime)
    decide(lab, D2, weight=-0.05)
    found = deploy(lab.lake, D2, runtime)
    assert (found.version, found.as_of) == (version, str(as_of(D2)))
    assert found.released != first.released
    assert read_active(lab.lake).previous == first.released


def test_without_a_decision_or_a_champion_there_is_nothing_to_release(lab: Lab, runtime: ScriptedRuntime):
    assert deploy(lab.lake, D1, runtime).reason == f"{D1} has no decision"
    decide(lab, D1, weight=-0.05)
    assert deploy(lab.lake, D1, runtime).reason == "no version has passed the gate yet"
    assert is_current(lab.lake, D1, runtime)
    assert read_active(lab.lake).release is None


def test_an_older_date_never_reaches_the_endpoint(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D2)
    live = deploy(lab.lake, D2, runtime).released
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    assert (found.outcome, found.reason) == ("skipped", f"{D1} is not the newest date: {D2} has a decision")
    assert is_current(lab.lake, D1, runtime)
    assert read_active(lab.lake).release == live


def test_a_later_drop_that_is_complete_makes_a_date_old(
    lab: Lab, runtime: ScriptedRuntime, s3: Any, land_drops: Callable[..., None]
):
    decide(lab, D1)
    s3.put(lab.pipeline.sources["readings"].drop_uri(D2) + "readings-1.csv", b"half a drop")
    assert deploy(lab.lake, D1, runtime).outcome == "done"
    land_drops(s3.put, lab.pipeline, D2, D2)
    assert deploy(lab.lake, D1, runtime).reason.startswith(f"{D1} is not the newest date: {D2} has landed but has no decision")


def test_what_only_has_the_name_of_a_manifest_keeps_no_deploy_from_happening(lab: Lab, runtime: ScriptedRuntime, s3: Any):
    decide(lab, D1)
    s3.put(lab.pipeline.sources["readings"].drop_uri(D2) + "_MANIFEST.json", b"oops")
    assert deploy(lab.lake, D1, runtime).outcome == "done"


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
    assert deploy(lab.lake, D1, runtime).outcome == "done"


def test_what_became_newest_meanwhile_is_noticed_at_the_switch(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    runtime.before_switch = lambda: decide(lab, D2)
    found = deploy(lab.lake, D1, runtime)
    assert (found.outcome, found.released) == ("skipped", None)
    assert f"{D2} has a decision" in found.reason
    assert read_active(lab.lake).release is None


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
    assert deploy(lab.lake, D1, runtime).outcome == "done"
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
    assert (found.outcome, found.version) == ("done", version)
    active = read_active(lab.lake)
    assert (active.release, active.soaked) == (found.released, True)


def test_a_release_whose_deploy_was_killed_is_not_what_the_next_date_goes_back_to(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    forced(lab, D1)
    good = deploy(lab.lake, D1, runtime).released
    forced(lab, D2, weight=0.11)

    with killed_at(monkeypatch, "soak"):
        deploy(lab.lake, D2, runtime)
    forced(lab, D3, weight=0.12)
    deploy(lab.lake, D3, runtime)
    assert read_active(lab.lake).previous == good


def test_a_pointer_that_moved_meanwhile_is_not_overwritten(lab: Lab):
    was = read_active(lab.lake)
    move(lab.lake, was, "2026-03-02-aaaaaaaaaaaa", None, soaked=True, runtime="process")
    with pytest.raises(LostRaceError, match="release 2026-03-02-aaaaaaaaaaaa is active, not"):
        move(lab.lake, was, "2026-03-01-bbbbbbbbbbbb", None, soaked=True, runtime="process")


def test_a_pointer_without_the_soaked_mark_counts_as_soaked(lab: Lab):
    lab.lake.objects.create(lab.lake.layout.active, b'{"format":1,"release":"2026-03-02-aaaaaaaaaaaa","previous":null}')
    assert read_active(lab.lake).soaked


@pytest.mark.parametrize(("soaked", "good"), [(True, "new"), (False, "old")])
def test_what_to_go_back_to(soaked: bool, good: str):
    assert Active("new", "old", soaked, "etag").good == good


def test_changed_lookups_of_the_same_date_make_it_not_current(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    rows = [{"as_of": as_of(D1), "machine": name, "rate": 0.5} for name in MACHINES]
    lab.write_table("lookup_machine_rates", pa.Table.from_pylist(rows), "as_of")
    assert not is_current(lab.lake, D1, runtime)
    assert deploy(lab.lake, D1, runtime).outcome == "done"


def test_why_the_last_decided_date_is_not_what_serves(
    lab: Lab, runtime: ScriptedRuntime, s3: Any, land_drops: Callable[..., None]
):
    def why() -> str:
        return read_standing(lab.lake).behind

    assert why() == ""
    forced(lab, D1)
    assert why().startswith(f"{D1} is not released: its deploy is still running")
    deploy(lab.lake, D1, runtime)
    assert why() == ""
    decide(lab, D2)  # the champion may stay the same: its lookups are older
    assert why().startswith(f"{D2} is not released: its deploy is still running")
    land_drops(s3.put, lab.pipeline, D3, D3)
    assert why().startswith(f"{D2} is not the newest date: {D3} has landed but has no decision")
    assert "behind" not in dict(read_standing(lab.lake).lines()), "the line before it has said so"
    forced(lab, D3, weight=0.11)
    runtime.staged.shift = 0.25
    with pytest.raises(ReleaseFailedError):
        deploy(lab.lake, D3, runtime)
    assert "golden request 0: probability" in why()


def test_the_remedy_for_an_interrupted_soak_is_a_run_that_deploys(
    lab: Lab, runtime: ScriptedRuntime, s3: Any, land_drops: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    forced(lab, D1)
    with killed_at(monkeypatch, "soak"):
        deploy(lab.lake, D1, runtime)
    remedy = "has not passed its soak: its deploy is still running or was interrupted; if it was interrupted, run"
    assert read_standing(lab.lake).behind.endswith(f"{remedy} {D1} again")
    land_drops(s3.put, lab.pipeline, D2, D2)
    assert deploy(lab.lake, D1, runtime).outcome == "skipped"
    assert read_standing(lab.lake).behind.endswith(f"{remedy} {D2}")
