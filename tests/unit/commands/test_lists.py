"""`perennial decisions`, `releases` and the other lists, also where they are empty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any

import pytest

from perennial.cli import run_command
from perennial.commands.output import stale_text
from perennial.deploy.rollback import ListedRelease, RollbackPlan
from perennial.evaluate.chain import Chain, Entry, Intervention, Model, enter, intervene
from perennial.evaluate.chain_store import update_chain
from perennial.signing.pointer import Active

Call = Callable[..., tuple[int, Any]]


def test_lists_are_empty_before_the_first_run(call: Call, lake) -> None:
    assert call("decisions") == (0, {"decisions": [], "interventions": []})
    assert call("releases") == (0, {"releases": [], "behind": ""})
    code, found = call("rollback", "--reason", "test")
    assert code == 1
    assert "no release serves" in found["error"]


BAR = "mlp-1 is barred from 2026-03-09 on, rolled back by me: [too slow]"


def test_decisions_and_interventions(call: Call, lake, capsys: pytest.CaptureFixture[str]) -> None:
    day = date(2026, 3, 9)
    uri = lake.layout.decision(day, "d")
    lake.objects.create(uri, b'{"format":1,"date":"2026-03-09","decision":"PROMOTE"}')
    entry = Entry("PROMOTE", uri, "k", Model("mlp-1", "s3://m"), None, None, True, "run-1", "2026-03-10T00:00:00Z")
    barred = Intervention("2026-03-09", "r", "mlp-1", "me", "[too slow]", "2026-03-10T01:00:00Z")
    update_chain(lake, lambda chain: intervene(enter(chain, day, entry), barred))
    code, found = call("decisions")
    assert code == 0
    told = [(item["date"], item["decision"], item["champion"], item["named"], item["barred"]) for item in found["decisions"]]
    assert told == [("2026-03-09", "PROMOTE", None, "mlp-1", True)]
    assert [item["barred"] for item in found["interventions"]] == ["mlp-1"]
    one = call("decisions", "--date", "2026-03-09")[1]
    assert (one["decision"], one["champion"], one["named"]) == ("PROMOTE", None, "mlp-1")
    assert one["note"] == f"every version that passed the gate is barred: {BAR}"
    assert "Decisions exist for 2026-03-09" in call("decisions", "--date", "2026-03-10")[1]["error"]
    assert run_command(["decisions"]) == 0
    assert "2026-03-10 01:00 UTC, for 2026-03-09: me barred version mlp-1 (release r): [too slow]" in (capsys.readouterr().out)


def test_stale_decisions_are_explained(lake, capsys: pytest.CaptureFixture[str]) -> None:
    day = date(2026, 3, 9)
    entry = Entry("HOLD", "s3://d", "k", None, "mlp-0", None, False, "run-1", "2026-03-10T00:00:00Z")
    update_chain(lake, lambda chain: enter(chain, day, entry))
    for command in ("decisions", "status"):
        assert run_command([command]) == 0
        assert stale_text("machine_faults", [day.isoformat()]) in capsys.readouterr().out


def test_empty_lists_say_what_makes_an_entry(lake, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("decisions", "releases"):
        assert run_command([command]) == 0
        assert capsys.readouterr().out.startswith(f"No {command} yet. ")


def test_active_release_without_a_server_does_not_serve(
    call: Call, lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ListedRelease("r", "2026-03-09", "mlp-1", "2026-03-10", serves=True, barred=True, why_barred=BAR)
    monkeypatch.setattr("perennial.deploy.rollback.list_releases", lambda _: [listed])
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    assert call("releases") == (0, {"releases": [{**asdict(listed), "active": True, "serves": False}], "behind": ""})
    assert run_command(["releases"]) == 0
    assert f"active; no server answers: make up; {BAR}" in capsys.readouterr().out


def test_a_rollback_is_planned_without_a_reason_and_made_with_one(
    call: Call, lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = call("rollback", "--plan")
    assert (code, "no release serves, so there is nothing to roll back" in found["error"]) == (1, True)
    code, found = call("rollback")
    assert (code, found["error"].endswith("Give a reason: --reason TEXT.")) == (1, True)
    plan = RollbackPlan(Chain(), Active("r2", None, True, None), date(2026, 3, 9), "mlp-2", ["mlp-2"], "mlp-1", "r1")
    monkeypatch.setattr("perennial.deploy.rollback.plan_rollback", lambda lake, to: plan)
    assert call("rollback", "--plan") == (0, {"from": "r2", "release": "r1", "version": "mlp-1", "barred": ["mlp-2"]})
    assert run_command(["rollback", "--plan"]) == 0
    assert capsys.readouterr().out == "r1 (mlp-1) would serve in place of r2; versions to bar: mlp-2\n"
