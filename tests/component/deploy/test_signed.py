"""Deploying with keys: what is signed, what is refused when the lake was changed, and how stored objects get signatures."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from lab import LAST, START, Lab
from scripted_runtime import ScriptedRuntime
from signing_keys import KeyFolder, use_no_keys
from steps import D1, D2, D3, Killed, decide, forced, killed_at

from perennial.deploy import protocol, release
from perennial.deploy.active import move, read_active
from perennial.deploy.deploy import deploy, record_intervention
from perennial.deploy.release import read_release
from perennial.deploy.rollback import list_releases, rollback
from perennial.deploy.sign_stored import SignedPipeline, sign_stored
from perennial.errors import LostRaceError, OutcomeUnknownError, RefusedError, SignatureRefusedError
from perennial.evaluate import evaluate
from perennial.evaluate.chain import Entry
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.freshness import stale
from perennial.freshness.stale import stale_dates
from perennial.serve.pointer import PointerReader
from perennial.signing import pointer
from perennial.signing.pointer import write_pointer
from perennial.store.content_name import canonical_json
from perennial.store.objects import Objects


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    """A signing key that is trusted, and in use."""
    keys = KeyFolder(tmp_path / "keys")
    keys.make("first")
    keys.use(monkeypatch, "first")
    return keys


def signatures(lab: Lab) -> set[str]:
    prefix = f"{lab.lake.layout.root}/signatures/"
    return {uri.removeprefix(prefix).partition("/")[2] for uri in lab.lake.objects.list(prefix)}


def names(lab: Lab, *uris: str) -> set[str]:
    return {uri.removeprefix(f"{lab.lake.layout.root}/") for uri in uris}


def document(lab: Lab, uri: str) -> Any:
    return lab.lake.objects.read_existing(uri).json()


def sign_all(lab: Lab, keys: KeyFolder, name: str, *, unsigned: bool = False) -> SignedPipeline:
    from perennial.signing.keys import read_trusted_keys

    trusted = read_trusted_keys()
    assert trusted is not None
    return sign_stored(lab.lake.objects, lab.lake.layout, keys.read(name), trusted, unsigned=unsigned)


def test_a_deploy_signs_all_that_a_server_and_the_next_deploy_verify(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder):
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    entry = read_chain(lab.lake).get(D1)
    assert signatures(lab) == names(lab, entry.uri, entry.champion.manifest, lab.lake.layout.release(found.released))
    assert read_active(lab.lake).signed_by == keys.read("first").id
    assert deploy(lab.lake, D1, runtime).outcome == "unchanged"


def test_bytes_and_names_are_those_without_keys(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, s3: Any
):
    decide(lab, D1)
    signed = deploy(lab.lake, D1, runtime).released
    entry, address = read_chain(lab.lake).get(D1), lab.lake.layout.release(signed)
    manifest = lab.lake.objects.read_existing(address).body
    s3.delete(address)
    s3.delete(lab.lake.layout.active)
    use_no_keys(monkeypatch)
    assert deploy(lab.lake, D1, runtime).released == signed
    assert lab.lake.objects.read_existing(address).body == manifest
    assert "signature" not in document(lab, entry.uri)


def test_the_number_of_the_pointer_rises_with_every_move(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder):
    server, seen = PointerReader(lab.lake.layout), []
    for day in (D1, D2, D3):
        forced(lab, day)
        deploy(lab.lake, day, runtime)
        seen.append(read_active(lab.lake).number)
        assert server.read(lab.lake.objects.read_existing(lab.lake.layout.active)) == read_active(lab.lake).release
    assert seen == sorted(set(seen))
    rollback(lab.lake, reason="test", who="me", runtime=runtime)
    assert read_active(lab.lake).number > seen[-1]


def test_the_number_rises_when_the_clock_is_behind(lab: Lab, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch):
    first = move(lab.lake, read_active(lab.lake), None, None, soaked=True, runtime="process")
    monkeypatch.setattr(pointer.time, "time", lambda: 0.0)
    assert move(lab.lake, first, None, None, soaked=True, runtime="process").number == first.number + 1


def test_a_deploy_after_a_replayed_pointer_is_followed(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any):
    """A deploy finds an older pointer and replaces it: a server that has seen the newest pointer follows."""
    server, address = PointerReader(lab.lake.layout), lab.lake.layout.active
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    older = lab.lake.objects.read_existing(address).body
    for day in (D2, D3):
        decide(lab, day)
        deploy(lab.lake, day, runtime)
    server.read(lab.lake.objects.read_existing(address))
    s3.put(address, older)
    with pytest.raises(SignatureRefusedError, match="older than one that this server has seen"):
        server.read(lab.lake.objects.read_existing(address))
    found = deploy(lab.lake, D3, runtime)
    assert server.read(lab.lake.objects.read_existing(address)) == found.released


def test_rollback_and_bar_are_signed(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder):
    good = forced(lab, D1)
    deploy(lab.lake, D1, runtime)
    bad = forced(lab, D2, weight=0.08)
    deploy(lab.lake, D2, runtime)
    found = rollback(lab.lake, reason="test", who="me", runtime=runtime)
    assert (found.version, found.barred) == (good, [bad])
    assert read_active(lab.lake).signed_by == keys.read("first").id
    assert read_release(lab.lake, found.released)["version"] == good


@pytest.mark.parametrize("step", ["_staged_check", "move", "soak"])
def test_a_killed_deploy_leaves_a_pointer_that_servers_accept(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, step: str
):
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    decide(lab, D2)
    server = PointerReader(lab.lake.layout)
    with killed_at(monkeypatch, step):
        deploy(lab.lake, D2, runtime)
    server.read(lab.lake.objects.read_existing(lab.lake.layout.active))
    found = deploy(lab.lake, D2, runtime)
    assert server.read(lab.lake.objects.read_existing(lab.lake.layout.active)) == found.released


def kill(*_: Any) -> None:
    raise Killed


def test_a_run_killed_before_the_signature_of_its_release_is_repaired_by_the_next(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    decide(lab, D1)
    with monkeypatch.context() as patched:
        patched.setattr(release, "sign_object", kill)
        with pytest.raises(Killed):
            deploy(lab.lake, D1, runtime)
    (unsigned,) = list_releases(lab.lake)
    with pytest.raises(SignatureRefusedError):
        read_release(lab.lake, unsigned.release)
    assert deploy(lab.lake, D1, runtime).released == unsigned.release
    assert read_release(lab.lake, unsigned.release)["release"] == unsigned.release


@pytest.mark.parametrize("force", [{}, {"force_decision": "PROMOTE", "force_reason": "test"}], ids=["gate", "forced"])
def test_a_run_killed_before_the_signature_of_its_decision_is_repaired_by_the_next(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, force: dict[str, str]
):
    lab.train("mlp", D1, 0.1)
    lab.train("logistic", D1, -0.05)
    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "sign_object", kill)
        with pytest.raises(Killed):
            evaluate.evaluate(lab.lake, D1, run_id="killed", **force)
    recorded = read_chain(lab.lake).get(D1)
    with pytest.raises(SignatureRefusedError, match="no signature of a trusted key"):
        deploy(lab.lake, D1, runtime)
    assert evaluate.evaluate(lab.lake, D1, run_id="again", **force).outcome == "unchanged"
    assert read_chain(lab.lake).get(D1) == recorded
    assert deploy(lab.lake, D1, runtime).outcome == "done"


def test_a_decision_without_a_signature_is_stale(
    lab: Lab, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, s3: Any, land_drops: Any
):
    """Otherwise a backfill would pass over its date, and no release could have its champion."""
    land_drops(s3.put, lab.pipeline, START, LAST)
    monkeypatch.setattr(stale, "find_changes", lambda *_: [])  # the lab's tables were made by no job
    decide(lab, D1)
    assert not stale_dates(lab.lake)
    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "sign_object", kill)
        with pytest.raises(Killed):
            decide(lab, D2)
    (found,) = stale_dates(lab.lake).items()
    assert found[0] == D2
    assert "no signature of a trusted key" in found[1].reason
    evaluate.evaluate(lab.lake, D2, run_id="again")
    assert not stale_dates(lab.lake)


@pytest.mark.parametrize("write", range(1, 5))
def test_a_key_that_is_replaced_during_an_evaluation_leaves_nothing_unsigned(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, write: int
):
    """A rotation ends at each write: the decision itself, the decision log, the signature of the model, that of the decision."""
    lab.train("mlp", D1, 0.1)
    lab.train("logistic", D1, -0.05)
    writes = 0

    def put(*arguments: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes == write:
            keys.make("second")
            sign_all(lab, keys, "second")
            keys.use(monkeypatch, "second")
            keys.distrust("first")
        return real(*arguments)

    real = Objects._put_if
    with monkeypatch.context() as patched:
        patched.setattr(Objects, "_put_if", put)
        evaluate.evaluate(lab.lake, D1, run_id="first")
    assert writes >= 4
    evaluate.evaluate(lab.lake, D1, run_id="again")
    assert deploy(lab.lake, D1, runtime).outcome == "done"


def test_a_forced_decision_without_a_signature_is_kept_for_the_person_who_forced_it(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "sign_object", lambda *_: None)
        forced(lab, D1, weight=-0.2)
    assert evaluate.evaluate(lab.lake, D1, run_id="again").forced
    with pytest.raises(SignatureRefusedError, match="no signature of a trusted key"):
        deploy(lab.lake, D1, runtime)


def test_a_decision_that_was_overtaken_is_not_signed(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    """Its model won against an incumbent that is none now. A signature would let anyone enter it into the decision log."""
    version = forced(lab, D1)
    before = signatures(lab)
    lab.train("mlp", D2, 0.2)
    lab.train("logistic", D2, -0.05)
    judge = evaluate.decide

    def judge_while_another_run_bars_the_incumbent(*args: Any) -> Any:
        decision = judge(*args)
        record_intervention(lab.lake, D1, None, version, "me", "test")
        return decision

    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "decide", judge_while_another_run_bars_the_incumbent)
        patched.setattr(evaluate, "ATTEMPTS", 1)
        with pytest.raises(LostRaceError, match="earlier dates changed the incumbent"):
            evaluate.evaluate(lab.lake, D2, run_id="slow", force_decision="PROMOTE", force_reason="test")
    assert signatures(lab) == before


def test_a_process_that_cannot_sign_records_no_decision(lab: Lab, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch):
    keys.use(monkeypatch, None)
    with pytest.raises(RefusedError, match="verifies signatures but cannot sign"):
        decide(lab, D1)
    assert read_chain(lab.lake).get(D1) is None


@pytest.mark.parametrize("how", ["unsigned", "names another champion"])
def test_a_planted_entry_of_the_decision_log_is_replaced(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any, how: str):
    decide(lab, D1)
    good = read_chain(lab.lake).get(D1)
    if how == "unsigned":
        uri = good.uri.replace(".json", "-planted.json")
        s3.put(uri, canonical_json({**document(lab, good.uri), "reasons": ["planted"]}))
        planted = replace(good, uri=uri)
    else:
        planted = replace(good, champion=replace(good.champion, version="mlp-2026-01-01-00000000"))
    enter_as_it_is(lab, D1, planted)
    evaluate.evaluate(lab.lake, D1, run_id="again")
    found = read_chain(lab.lake).get(D1)
    assert (found.uri, found.champion) == (good.uri, good.champion)
    assert deploy(lab.lake, D1, runtime).outcome == "done"


def enter_as_it_is(lab: Lab, day: date, entry: Entry) -> None:
    update_chain(lab.lake, lambda chain: replace(chain, entries={**chain.entries, day.isoformat(): entry}))


def test_a_planted_release_is_not_signed(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any):
    """Its name is known before it exists, so someone may write it first."""
    decide(lab, D1)
    first = deploy(lab.lake, D1, runtime).released
    address = lab.lake.layout.release(first)
    s3.delete(lab.lake.layout.active)
    s3.put(address, canonical_json({**document(lab, address), "p99_ms": 9999}))
    with pytest.raises(OutcomeUnknownError, match="wrote different bytes"):
        deploy(lab.lake, D1, runtime)
    assert read_active(lab.lake).release is None


@pytest.mark.parametrize("which", ["decision", "model"])
@pytest.mark.parametrize("how", ["changed", "unsigned"])
def test_a_model_or_decision_that_evaluate_did_not_sign_is_not_released(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any, which: str, how: str
):
    decide(lab, D1)
    entry = read_chain(lab.lake).get(D1)
    address = entry.uri if which == "decision" else entry.champion.manifest
    if how == "changed":
        s3.put(address, canonical_json({**document(lab, address), "note": "x"}))
    else:
        (name,) = names(lab, address)
        s3.delete(lab.lake.layout.signature(keys.read("first").id, name))
    with pytest.raises(SignatureRefusedError, match="does not match" if how == "changed" else "no signature"):
        deploy(lab.lake, D1, runtime)
    assert read_active(lab.lake).release is None
    assert runtime.staged_releases == []


@pytest.mark.parametrize(
    ("relabel", "refusal"), [(False, "The model models/logistic"), (True, "the version of the model is 'logistic")]
)
def test_a_champion_that_no_decision_promoted_is_not_released(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, relabel: bool, refusal: str
):
    """The other candidate of the date before was trained and judged, but it was not promoted."""
    forced(lab, D1)
    bad = forced(lab, D2, weight=0.08)
    entry = read_chain(lab.lake).get(D1)
    (loser,) = [uri for uri in lab.lake.objects.list(f"{lab.lake.layout.root}/models/logistic/{D1}/") if uri.endswith(".json")]
    version = entry.champion.version if relabel else document(lab, loser)["version"]
    enter_as_it_is(lab, D1, replace(entry, champion=replace(entry.champion, version=version, manifest=loser)))
    record_intervention(lab.lake, D2, None, bad, "me", "test")
    with pytest.raises(SignatureRefusedError, match=refusal):
        deploy(lab.lake, D2, runtime)
    assert runtime.staged_releases == []


def test_a_model_is_not_released_under_another_version(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder):
    """Bars hold for versions: under another name, a barred model would come back."""
    forced(lab, D1)
    forced(lab, D2, weight=0.08)
    good, bad = (read_chain(lab.lake).get(day) for day in (D1, D2))
    enter_as_it_is(lab, D2, replace(bad, champion=replace(bad.champion, version=good.champion.version)))
    with pytest.raises(SignatureRefusedError) as refused:
        deploy(lab.lake, D2, runtime)
    assert f"the champion of the decision is {bad.champion.version!r}" in str(refused.value)
    assert f"the version of the model is {bad.champion.version!r}" in str(refused.value)
    assert runtime.staged_releases == []


def test_a_decision_of_another_date_does_not_count(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder):
    forced(lab, D1)
    forced(lab, D2, weight=0.08)
    enter_as_it_is(lab, D2, read_chain(lab.lake).get(D1))
    with pytest.raises(SignatureRefusedError, match=f"the date of the decision is '{D1}', and the decision log says '{D2}'"):
        deploy(lab.lake, D2, runtime)


def test_nothing_goes_back_to_a_release_without_a_valid_signature(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any):
    forced(lab, D1)
    first = deploy(lab.lake, D1, runtime).released
    address = lab.lake.layout.release(first)
    s3.put(address, canonical_json({**document(lab, address), "version": "x"}))
    assert protocol.way_back(lab.lake, read_active(lab.lake)) is None
    forced(lab, D2, weight=0.09)
    assert deploy(lab.lake, D2, runtime).outcome == "done"
    assert read_active(lab.lake).previous is None


@pytest.mark.parametrize("change", [{"release": "2026-03-01-000000000000"}, {"signature": None}, {"number": 1}])
def test_a_changed_pointer_stops_a_deploy_and_names_a_page(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any, change: dict[str, Any]
):
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    address = lab.lake.layout.active
    s3.put(address, canonical_json({**document(lab, address), **change}))
    with pytest.raises(SignatureRefusedError, match=r"docs/runbooks/signature-refused\.md"):
        deploy(lab.lake, D1, runtime)


def test_a_process_that_only_verifies_signs_nothing(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    decide(lab, D1)
    keys.use(monkeypatch, None)
    with pytest.raises(RefusedError, match="verifies signatures but cannot sign: PERENNIAL_SIGNING_KEY is not set"):
        deploy(lab.lake, D1, runtime)


def test_a_process_without_keys_does_not_move_a_signed_pointer(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    decide(lab, D2)
    use_no_keys(monkeypatch)
    with pytest.raises(RefusedError, match="servers would refuse an unsigned one"):
        deploy(lab.lake, D2, runtime)
    assert read_active(lab.lake).release[:10] == str(D1)


def test_a_lake_of_an_earlier_version_is_signed_once(
    lab: Lab, runtime: ScriptedRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    use_no_keys(monkeypatch)
    for day in (D1, D2):
        decide(lab, day)
        deploy(lab.lake, day, runtime)
    keys = KeyFolder(tmp_path / "keys")
    key = keys.make("first")
    keys.use(monkeypatch, "first")
    with pytest.raises(SignatureRefusedError):
        read_active(lab.lake)

    refused = sign_all(lab, keys, "first")
    assert (refused.signed, refused.unchanged) == (0, 0)
    assert all("has no signature of a trusted key" in problem for problem in refused.refused)

    count = len(refused.refused)
    assert sign_all(lab, keys, "first", unsigned=True) == SignedPipeline(lab.pipeline.name, count, 0, ())
    assert sign_all(lab, keys, "first") == SignedPipeline(lab.pipeline.name, 0, count, ())
    assert read_active(lab.lake).signed_by == key.id
    assert deploy(lab.lake, D2, runtime).outcome == "unchanged"
    forced(lab, D3)
    assert deploy(lab.lake, D3, runtime).outcome == "done"
    assert (
        rollback(lab.lake, reason="test", who="me", runtime=runtime).version
        == read_release(lab.lake, read_active(lab.lake).release)["version"]
    )


def test_a_rotation_needs_both_keys_for_a_while(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    server = PointerReader(lab.lake.layout)
    second = keys.make("second")
    keys.use(monkeypatch, "second")
    assert sign_all(lab, keys, "second") == SignedPipeline(lab.pipeline.name, 4, 0, ())
    stored = lab.lake.objects.read_existing(lab.lake.layout.active)
    assert server.read(stored) == found.released

    keys.distrust("first")
    assert read_active(lab.lake).signed_by == second.id
    assert server.read(stored) == found.released
    assert read_release(lab.lake, found.released)["release"] == found.released
    decide(lab, D2)
    assert deploy(lab.lake, D2, runtime).outcome == "done"


def test_a_rotation_signs_nothing_that_was_changed(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch, s3: Any
):
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    for address in (lab.lake.layout.release(found.released), lab.lake.layout.active):
        s3.put(address, canonical_json({**document(lab, address), "previous": "x"}))
    keys.make("second")
    keys.use(monkeypatch, "second")
    for unsigned in (False, True):
        result = sign_all(lab, keys, "second", unsigned=unsigned)
        assert len(result.refused) == 2
        assert all("does not match" in problem for problem in result.refused)


def test_signing_the_pointer_loses_to_a_deploy(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    keys.make("second")

    def lose(objects: Any, layout: Any, wanted: Any, key: Any) -> Any:
        move(lab.lake, read_active(lab.lake), wanted.release, None, soaked=True, runtime="process")
        return write_pointer(objects, layout, wanted, key)

    monkeypatch.setattr("perennial.deploy.sign_stored.write_pointer", lose)
    (problem,) = sign_all(lab, keys, "second").refused
    assert "a deploy moved the pointer" in problem
    assert read_active(lab.lake).signed_by == keys.read("first").id


@pytest.mark.parametrize("what", ["an address in the log", "the log", "the pointer"])
def test_a_damaged_object_does_not_stop_the_signing_of_the_others(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any, what: str
):
    decide(lab, D1)
    found, layout = deploy(lab.lake, D1, runtime), lab.lake.layout
    keys.make("second")
    if what == "an address in the log":
        chain = document(lab, layout.chain)
        text = canonical_json(chain).replace(read_chain(lab.lake).get(D1).uri.encode(), b"x")
        s3.put(layout.chain, text)
    else:
        s3.put(layout.chain if what == "the log" else layout.active, b'{"format":1}')
    result = sign_all(lab, keys, "second")
    assert len(result.refused) == 1
    assert result.signed == (2 if what == "the log" else 3)
    place = layout.signature(keys.read("second").id, f"releases/{found.released}.json")
    assert lab.lake.objects.exists(place)


def test_objects_that_the_key_has_signed_are_not_read_again(
    lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
):
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    read, plain = [], lab.lake.objects.read

    def note(uri: str, max_bytes: int | None = None) -> Any:
        read.append(uri)
        return plain(uri, max_bytes)

    monkeypatch.setattr(lab.lake.objects, "read", note)
    assert sign_all(lab, keys, "first") == SignedPipeline(lab.pipeline.name, 0, 4, ())
    assert read == [lab.lake.layout.chain, lab.lake.layout.active]


def test_a_damaged_signature_is_replaced(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any):
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    (name,) = names(lab, lab.lake.layout.release(found.released))
    s3.put(lab.lake.layout.signature(keys.read("first").id, name), b"damaged")
    s3.delete(lab.lake.layout.active)
    assert deploy(lab.lake, D1, runtime).outcome == "done"
    assert read_release(lab.lake, found.released)["release"] == found.released


def test_listing_releases_needs_no_signature(lab: Lab, runtime: ScriptedRuntime, keys: KeyFolder, s3: Any):
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    (name,) = names(lab, lab.lake.layout.release(found.released))
    s3.delete(lab.lake.layout.signature(keys.read("first").id, name))
    assert [item.release for item in list_releases(lab.lake)] == [found.released]


def test_the_pointer_without_keys_has_a_number_and_no_signature(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
):
    use_no_keys(monkeypatch)
    decide(lab, D1)
    deploy(lab.lake, D1, runtime)
    stored = json.loads(lab.lake.objects.read_existing(lab.lake.layout.active).body)
    assert stored["number"] > 0
    assert "signature" not in stored
