"""What `python -m stack` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import __main__ as stack
from stack.config import StackConfig
from stack.machine import Finding
from stack.plan import Part
from stack.process import Service, is_running


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackConfig:
    """Return a stack of one service that sleeps, on a machine that lacks nothing."""
    service = Service(name="sleeper", argv=("sleep", "60"), is_ready=lambda: True)
    monkeypatch.setattr(stack, "plan", lambda _: (Part(name="sleeper", service=service),))
    monkeypatch.setattr(stack.doctor, "examine", lambda *_: [])
    monkeypatch.setattr(stack, "remove_postgres", lambda _: None)
    return StackConfig(repo=tmp_path, var=tmp_path / "var")


def test_up_down_and_clean_say_what_is_so(config: StackConfig, capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> str:
        return capsys.readouterr().out.replace("\n", " ")

    try:
        assert stack.up(config, ()) == 0
        assert "Starting 1 service;" in said()
        assert stack.up(config, ()) == 0
        assert "Every service is already running" in said()
        assert stack.down(config, ()) == 0
        assert f"data kept in {config.var}" in said()
        assert stack.clean(config) == 0
        text = said()
        assert "data kept" not in text
        assert f"Removing {config.var / 'log'}" in text
    finally:
        stack.down(config, ())


def test_a_restart_with_refused_settings_stops_nothing(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert stack.up(config, ()) == 0
        monkeypatch.setenv("PERENNIAL_AIRFLOW_USERS", "ann:chief")
        assert stack.change(config, "down", (), is_restart=True) == 1
        assert is_running(config, "sleeper")
        assert "✗ users of Airflow" in capsys.readouterr().out
        assert stack.change(config, "down", ()) == 0
        assert not is_running(config, "sleeper")
    finally:
        stack.down(config, ())


def test_a_finding_has_a_mark_of_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    for finding in (Finding("one", "well"), Finding("two", "ill", "Mend it."), Finding("three", "poor", advice="Better it.")):
        stack._print_finding(finding)
    assert capsys.readouterr().out.splitlines() == ["✓ one: well", "✗ two: ill. Mend it.", "! three: poor. Better it."]


def test_prepare_names_the_work_that_takes_long(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(stack, "keep_sources", lambda: kept.append(True))
    monkeypatch.setattr(stack, "prepare_spark", lambda _, say: say("Fetching Spark's jars"))
    assert stack.prepare(config) == 0
    assert capsys.readouterr().out.splitlines() == ["▸ Fetching Spark's jars", "✓ Spark is ready: 0 s"]
    monkeypatch.setattr(stack, "prepare_spark", lambda *_: None)
    stack.prepare(config)
    assert capsys.readouterr().out == ""
    assert kept == [True, True]
