"""A part in the foreground, as a container runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack import foreground
from stack.config import REPO, StackConfig
from stack.foreground import is_healthy, run_part
from stack.plan import Part
from stack.process import Service


def _stack(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PERENNIAL_VAR": str(tmp_path / "var"), "PERENNIAL_PORT_OFFSET": "6400"}
    return subprocess.Popen(
        [sys.executable, "-m", "stack", *words],
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=180)
    return process.returncode, said


def test_a_part_runs_answers_and_stops(tmp_path: Path) -> None:
    running = _stack(tmp_path, "run", "s3")
    try:
        deadline = time.monotonic() + 180
        while _ended(_stack(tmp_path, "healthy", "s3"))[0] != 0:
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.5)
    finally:
        running.send_signal(signal.SIGTERM)
    _ended(running)
    assert _ended(_stack(tmp_path, "healthy", "s3"))[0] == 1
    assert (tmp_path / "var" / "stack.env").exists()
    assert (tmp_path / "var" / "secrets" / "aws_credentials").stat().st_mode & 0o077 == 0


def test_a_part_is_healthy_once_it_holds_what_others_expect_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that waits for its health would not find its buckets or databases otherwise."""
    config = StackConfig(repo=REPO, var=tmp_path / "var")
    seconds = "import time; time.sleep(1)"
    service = Service(name="store", argv=(sys.executable, "-c", seconds), is_ready=lambda: True)
    seen: list[bool] = []
    part = Part(name="store", service=service, after=lambda config: seen.append(is_healthy(config, "store")))
    monkeypatch.setattr(foreground, "plan", lambda config: (part,))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for _ in range(2):  # the second start does not take the record of the first for its own
            assert run_part(config, "store") == 0
            assert is_healthy(config, "store")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert seen == [False, False]


@pytest.mark.parametrize("name", ["airflow", "nothing"])
def test_what_is_not_one_part_is_refused(tmp_path: Path, name: str) -> None:
    code, said = _ended(_stack(tmp_path, "run", name))
    assert code == 1
    assert "Parts: s3, postgres" in said
