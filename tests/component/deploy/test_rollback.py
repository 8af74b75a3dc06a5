"""The way back by hand: what it bars, what it releases, and how it goes on after it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from lab import LAST, Lab, as_of
from scripted_runtime import ScriptedRuntime
from steps import D1, D2, D3, decide, forced, killed_at, released

from perennial.config.calendar import FeedCalendar
from perennial.config.load import FILE, load_pipeline
from perennial.config.refused import RefusedPipeline
from perennial.deploy import rollback as rollback_module
from perennial.deploy.active import read_active
from perennial.deploy.deploy import deploy
from perennial.deploy.protocol import SupersededError
from perennial.deploy.release import read_release
from perennial.deploy.rollback import list_releases, plan_rollback, rollback
from perennial.deploy.serve_check import soak
from perennial.deploy.standing import read_standing
from perennial.errors import PerennialError, PipelineRefusedError, RefusedError, ReleaseFailedError
from perennial.evaluate.chain import incumbent
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.evaluate.champions import champion_of
from perennial.lake.lake import Lake


def test_rollback_bars_the_version_and_releases_the_one_before(lab: Lab, runtime: ScriptedRuntime):
    good = released(lab, runtime, D1)
    bad = released(lab, runtime, D2, weight=0.11)
    plan = plan_rollback(lab.lake, runtime=runtime)
    assert not read_chain(lab.lake).interventions
    found = rollback(lab.lake, reason="it flags every machine", who="ann", runtime=runtime)
    assert (found.version, found.barred) == (good, [bad])
    assert plan.to_json() == {"from": found.previous, "release": found.released, "version": good, "barred": [bad]}
    assert runtime.version(str(runtime.live.release)) == good
    chain = read_chain(lab.lake)
    assert (chain.interventions[0].who, chain.interventions[0].reason) == ("ann", "it flags every machine")
    assert incumbent(chain, D3) == champion_of(chain, D1).model
    assert deploy(lab.lake, D2, runtime).outcome == "unchanged", "a rerun does not bring it back"
    listed = list_releases(lab.lake)
    assert [item.serves for item in listed].count(True) == 1
    assert {item.version: item.barred for item in listed} == {good: False, bad: True}


def refused(lab: Lab, text: str, name: str = "process") -> Lake:
    """Return the lake with the pipeline as a rollback sees it after its file was replaced by this text."""
    (lab.pipeline.folder / FILE).write_text(text)
    with pytest.raises(PipelineRefusedError) as error:
        load_pipeline("machine_faults", lab.pipeline.folder.parent)
    return replace(lab.lake, pipeline=RefusedPipeline.read(lab.pipeline.folder, error.value).serving_on(name))


NO_YAML, WRONG_VALUE = "name: [", "name: machine_faults\ntask: ternary\ndeployment: {soak_seconds: 0.1}\n"


@pytest.mark.parametrize(("text", "seconds"), [(NO_YAML, 5), (WRONG_VALUE, 0.1)], ids=["no YAML", "a wrong value"])
def test_rollback_needs_no_valid_pipeline(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
):
    """No release can be built without the settings, so the newest one of the last good version serves again as it was."""
    soaks: list[float] = []

    def watch_briefly(client: Any, golden: Any, wanted: float) -> Any:
        soaks.append(wanted)
        return soak(client, golden, 0.1)

    monkeypatch.setattr("perennial.deploy.protocol.soak", watch_briefly)
    good = forced(lab, D1)
    target = deploy(lab.lake, D1, runtime).released
    bad = released(lab, runtime, D2, weight=0.11)
    found = rollback(refused(lab, text), reason="it flags every machine", who="ann", runtime=runtime)
    assert (found.released, found.version, found.barred) == (target, good, [bad])
    assert runtime.version(str(runtime.live.release)) == good
    assert read_active(lab.lake).release == target
    assert soaks[-1] == seconds


@pytest.mark.parametrize("named", [False, True], ids=["the last good version", "a named release"])
def test_rollback_on_kubernetes_bars_nothing_if_the_settings_of_its_pods_are_lost(
    lab: Lab, runtime: ScriptedRuntime, named: bool
):
    forced(lab, D1)
    target = deploy(lab.lake, D1, runtime).released
    released(lab, runtime, D2, weight=0.11)
    with pytest.raises(PipelineRefusedError, match="not valid YAML"):
        rollback(refused(lab, NO_YAML, "kubernetes"), reason="bad", who="ann", to=target if named else None, runtime=runtime)
    assert not read_chain(lab.lake).interventions


def test_rollback_to_a_release_bars_every_champion_since(lab: Lab, runtime: ScriptedRuntime):
    oldest = forced(lab, D1)
    target = deploy(lab.lake, D1, runtime).released
    middle = released(lab, runtime, D2, weight=0.11)
    newest = released(lab, runtime, D3, weight=0.12)
    plan = plan_rollback(lab.lake, to=target, runtime=runtime)
    assert (plan.release, plan.version, plan.bars) == (target, oldest, [newest, middle])
    found = rollback(lab.lake, reason="both are wrong", who="ann", to=target, runtime=runtime)
    assert (found.released, found.barred) == (target, [newest, middle])
    left = champion_of(read_chain(lab.lake), D3).model
    assert left is not None
    assert left.version == oldest


def test_rollback_to_an_earlier_release_of_the_same_version_bars_nothing(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    target = deploy(lab.lake, D1, runtime).released
    decide(lab, D2, weight=-0.05)
    deploy(lab.lake, D2, runtime)
    for _ in range(2):
        with suppress(RefusedError):  # the second time, it serves already
            found = rollback(lab.lake, reason="the lookups are off", who="ann", to=target, runtime=runtime)
    assert (found.released, found.barred) == (target, [])
    (item,) = read_chain(lab.lake).interventions
    assert (item.barred, item.reason, item.target) == (None, "the lookups are off", target)


def test_a_rollback_in_the_soak_of_a_later_deploy_is_no_interrupted_one(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    """The date was run again after a rollback, and its new model serves, unproven, when it is rolled back, too."""
    good = released(lab, runtime, D1)
    first = released(lab, runtime, D2, weight=0.11)
    rollback(lab.lake, reason="wrong data", who="ann", runtime=runtime)
    lab.correct(D2)
    second = forced(lab, D2, weight=0.12)
    with killed_at(monkeypatch, "soak"):
        deploy(lab.lake, D2, runtime)
    serves = read_active(lab.lake)
    assert (runtime.version(str(serves.release)), serves.soaked) == (second, False)
    plan = plan_rollback(lab.lake, runtime=runtime)
    assert (plan.previous, plan.version, plan.bars) == (serves.release, good, [second])
    found = rollback(lab.lake, reason="wrong again", who="ann", runtime=runtime)
    assert (found.previous, found.version, found.barred) == (serves.release, good, [second])
    assert [item.barred for item in read_chain(lab.lake).interventions] == [first, second]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("step", ["serve_check", "move", "soak"])
def test_an_interrupted_rollback_is_finished_by_the_next(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch, step: str, named: bool
):
    released(lab, runtime, D1)
    good = forced(lab, D2, weight=0.11)
    target = deploy(lab.lake, D2, runtime).released if named else None
    forced(lab, D3, weight=0.12)
    bad = deploy(lab.lake, D3, runtime).released

    with killed_at(monkeypatch, step):
        rollback(lab.lake, reason="bad", who="ann", to=target, runtime=runtime)
    assert read_active(lab.lake).previous != bad
    found = rollback(lab.lake, reason="bad", who="ann", to=target, runtime=runtime)
    assert found.version == good
    assert len(read_chain(lab.lake).interventions) == 1
    active = read_active(lab.lake)
    assert (active.release, active.soaked) == (found.released, True)


def test_a_deploy_after_an_interrupted_rollback_never_goes_back_to_what_was_barred(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    forced(lab, D1)
    good = deploy(lab.lake, D1, runtime).released
    released(lab, runtime, D2, weight=0.11)

    with killed_at(monkeypatch, "soak"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    runtime.wrong_when_live = {forced(lab, D3, weight=0.12)}
    with pytest.raises(ReleaseFailedError, match=f"release {good} serves again"):
        deploy(lab.lake, D3, runtime)


def test_a_rollback_from_a_release_whose_deploy_was_killed_bars_it(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    released(lab, runtime, D1)
    middle = released(lab, runtime, D2, weight=0.11)
    rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    newest = forced(lab, D3, weight=0.12)

    with killed_at(monkeypatch, "soak"):
        deploy(lab.lake, D3, runtime)
    assert rollback(lab.lake, reason="bad as well", who="ann", runtime=runtime).barred == [newest]
    assert [item.barred for item in read_chain(lab.lake).interventions] == [middle, newest]


def test_after_an_edit_of_the_calendar_a_rollback_keeps_the_lookups_that_serve(lab: Lab, runtime: ScriptedRuntime):
    released(lab, runtime, D1)
    forced(lab, LAST, weight=0.11)
    serves = deploy(lab.lake, LAST, runtime)
    # as_of(LAST) is another midnight now, which no lookup has.
    feed = FeedCalendar.model_validate({"holidays": [as_of(LAST)]})
    edited = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"feed": feed}))
    found = rollback(edited, reason="bad", who="ann", runtime=runtime)
    assert read_release(edited, found.released)["as_of"] == serves.as_of == str(as_of(LAST))


def test_a_rollback_that_cannot_be_planned_bars_nothing(lab: Lab, runtime: ScriptedRuntime):
    for day, weight in ((D1, 0.1), (D2, 0.11)):
        forced(lab, day, weight)
        deploy(lab.lake, day, runtime)
    del lab.lake.tables.states["lookup_machine_rates"]  # type: ignore[attr-defined]
    with pytest.raises(PerennialError, match="'machine_rates' has no rows as_of"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    assert not read_chain(lab.lake).interventions


def test_a_release_that_is_active_though_barred_is_told_although_a_later_date_waits(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch, s3: Any, land_drops: Callable[..., None]
):
    for day, weight in ((D1, 0.1), (D2, 0.11)):
        forced(lab, day, weight)
        deploy(lab.lake, day, runtime)
    with killed_at(monkeypatch, "move"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    land_drops(s3.put, lab.pipeline, D3, D3)
    told = dict(read_standing(lab.lake).lines())
    assert told["waits"].startswith(f"{D3} has landed")
    assert f"release {read_active(lab.lake).release} is active, but " in told["behind"]
    assert told["behind"].endswith(f"Run `perennial rollback` again, or run {D3}")


def test_a_rollback_is_not_held_up_by_a_slow_machine(lab: Lab, runtime: ScriptedRuntime):
    good = released(lab, runtime, D1)
    released(lab, runtime, D2, weight=0.11)
    runtime.staged.delay_seconds = runtime.live.delay_seconds = 0.3
    assert rollback(lab.lake, reason="bad", who="ann", runtime=runtime).version == good


def test_rollback_is_refused_where_there_is_no_way_back(lab: Lab, runtime: ScriptedRuntime):
    with pytest.raises(RefusedError, match="no release serves"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    decide(lab, D1)
    live = deploy(lab.lake, D1, runtime).released
    with pytest.raises(RefusedError, match="there is no version to go back to"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    with pytest.raises(RefusedError, match="already serves"):
        rollback(lab.lake, reason="bad", who="ann", to=live, runtime=runtime)
    with pytest.raises(RefusedError, match="needs an author and a reason"):
        rollback(lab.lake, reason=" ", who="ann", runtime=runtime)
    assert not read_chain(lab.lake).interventions


def test_a_release_whose_version_was_barred_is_refused_with_who_barred_it(lab: Lab, runtime: ScriptedRuntime):
    for day, weight in ((D1, 0.1), (D2, 0.11)):
        forced(lab, day, weight)
        deploy(lab.lake, day, runtime)
    barred = rollback(lab.lake, reason="lies on Mondays", who="ann", runtime=runtime).previous
    with pytest.raises(RefusedError, match=f"release {barred} has version .*, which ann barred on {D2}: lies on Mondays"):
        rollback(lab.lake, reason="again", who="bob", to=barred, runtime=runtime)
    assert len(read_chain(lab.lake).interventions) == 1


def test_each_rollback_to_one_release_keeps_its_reason(lab: Lab, runtime: ScriptedRuntime):
    decide(lab, D1)
    target = deploy(lab.lake, D1, runtime).released
    for day, who in ((D2, "ann"), (D3, "bob")):
        decide(lab, day, weight=-0.05)
        deploy(lab.lake, day, runtime)
        rollback(lab.lake, reason=f"the lookups of {day} are off", who=who, to=target, runtime=runtime)
    found = read_chain(lab.lake).interventions
    assert [(item.who, item.date, item.barred, item.target) for item in found] == [
        ("ann", str(D2), None, target),
        ("bob", str(D3), None, target),
    ]


def test_a_rollback_that_failed_and_then_named_another_release_of_its_version_is_finished(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    released(lab, runtime, D1)
    good = forced(lab, D2, weight=0.11)
    named = deploy(lab.lake, D2, runtime).released
    bad = released(lab, runtime, D3, weight=0.12)
    with killed_at(monkeypatch, "serve_check"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    with killed_at(monkeypatch, "soak"):
        rollback(lab.lake, reason="bad", who="ann", to=named, runtime=runtime)
    plan = plan_rollback(lab.lake, runtime=runtime)
    assert (plan.is_resumed, plan.release) == (True, named)
    found = rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    assert (found.released, found.version) == (named, good)
    assert {item.barred for item in read_chain(lab.lake).interventions} == {bad, None}


def test_two_rollbacks_at_once_bar_a_version_once(lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch):
    released(lab, runtime, D1)
    bad = released(lab, runtime, D2, weight=0.11)
    check, others = rollback_module.token_headers, ["bob"]

    def check_while_another_rolls_back() -> dict[str, str]:
        if others:
            rollback(lab.lake, reason="lies", who=others.pop(), runtime=runtime)
        return check()

    monkeypatch.setattr(rollback_module, "token_headers", check_while_another_rolls_back)
    rollback(lab.lake, reason="lies", who="ann", runtime=runtime)
    assert [(item.who, item.barred) for item in read_chain(lab.lake).interventions] == [("bob", bad)]


def test_a_rollback_stops_if_a_good_release_became_active_since_it_was_planned(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    released(lab, runtime, D1)
    bad = released(lab, runtime, D2, weight=0.11)
    newest = forced(lab, D3, weight=0.12)
    stage = runtime.stage

    def stage_while_the_next_date_is_released(release: str) -> httpx.Client:
        monkeypatch.setattr(runtime, "stage", stage)
        assert deploy(lab.lake, D3, runtime).version == newest
        return stage(release)

    monkeypatch.setattr(runtime, "stage", stage_while_the_next_date_is_released)
    with pytest.raises(SupersededError, match=rf"became active meanwhile, and its version {newest} is not barred") as stopped:
        rollback(lab.lake, reason="lies", who="ann", runtime=runtime)
    assert stopped.value.remedy.startswith(f"{bad} stays barred.")
    assert runtime.version(str(read_active(lab.lake).release)) == newest
    assert deploy(lab.lake, D3, runtime).outcome == "unchanged"


def test_a_rollback_goes_on_if_the_barred_version_was_released_again_since_it_was_planned(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    good = released(lab, runtime, D1)
    bad = released(lab, runtime, D2, weight=0.11)
    decide(lab, D3, weight=-0.05)
    record = rollback_module._record

    def record_after_the_next_date_is_released(*arguments: Any) -> None:
        assert deploy(lab.lake, D3, runtime).version == bad
        record(*arguments)

    monkeypatch.setattr(rollback_module, "_record", record_after_the_next_date_is_released)
    assert rollback(lab.lake, reason="lies", who="ann", runtime=runtime).version == good
    assert runtime.version(str(read_active(lab.lake).release)) == good


def test_a_rollback_stops_if_its_target_is_barred_meanwhile(lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch):
    oldest, good, _ = (forced(lab, day, weight=weight) for day, weight in ((D1, 0.1), (D2, 0.11), (D3, 0.12)))
    deploy(lab.lake, D3, runtime)
    record = rollback_module._record

    def record_and_let_another_roll_back(*arguments: Any) -> None:
        monkeypatch.setattr(rollback_module, "_record", record)
        record(*arguments)
        rollback(lab.lake, reason="lies", who="bob", runtime=runtime)
        assert rollback(lab.lake, reason="lies too", who="bob", runtime=runtime).version == oldest

    monkeypatch.setattr(rollback_module, "_record", record_and_let_another_roll_back)
    with pytest.raises(SupersededError, match=rf"its version {good} was barred meanwhile"):
        rollback(lab.lake, reason="lies", who="ann", runtime=runtime)
    assert runtime.version(str(read_active(lab.lake).release)) == oldest


def test_a_rollback_that_an_earlier_version_of_perennial_began_is_finished(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    """Its log does not name the target."""
    released(lab, runtime, D1)
    good = released(lab, runtime, D2, weight=0.11)
    released(lab, runtime, D3, weight=0.12)
    with killed_at(monkeypatch, "soak"):
        rollback(lab.lake, reason="bad", who="ann", runtime=runtime)
    update_chain(
        lab.lake, lambda chain: replace(chain, interventions=tuple(replace(item, target=None) for item in chain.interventions))
    )
    assert rollback(lab.lake, reason="bad", who="ann", runtime=runtime).version == good
