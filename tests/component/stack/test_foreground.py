"""A part in the foreground, as a container runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from stack import foreground
from stack.config import REPO, StackConfig
from stack.foreground import run_part
from stack.plan import Part
from stack.process import Service

OFFSET = 6400
CHECK = yaml.safe_load((REPO / "docker-compose.yaml").read_text(encoding="utf-8"))["x-is-recent"]


def _stack(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PERENNIAL_VAR": str(tmp_path / "var"), "PERENNIAL_PORT_OFFSET": str(OFFSET)}
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


def _is_healthy(config: StackConfig, name: str) -> bool:
    """Run the check of the containers, in the folder of this state."""
    script = CHECK.replace("$$", "$").replace("/var/lib/perennial", str(config.var))
    return subprocess.run(["sh", "-c", script, name], stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_a_part_runs_answers_and_stops(tmp_path: Path) -> None:
    running = _stack(tmp_path, "run", "s3")
    config = StackConfig(repo=REPO, var=tmp_path / "var", offset=OFFSET)
    try:
        deadline = time.monotonic() + 180
        while not _is_healthy(config, "s3"):
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.1)
        assert httpx.get(f"{config.s3_url}/healthz", trust_env=False).status_code == 200
    finally:
        running.send_signal(signal.SIGTERM)
    _ended(running)
    os.utime(config.run / "s3.healthy", (time.time() - 30,) * 2)  # as if half a minute had passed
    assert not _is_healthy(config, "s3")
    assert (tmp_path / "var" / "stack.env").exists()
    assert (tmp_path / "var" / "secrets" / "aws_credentials").stat().st_mode & 0o077 == 0


def test_a_part_is_healthy_once_it_holds_what_others_expect_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that waits for its health would not find its buckets or databases otherwise."""
    config = StackConfig(repo=REPO, var=tmp_path / "var")
    seconds = "import time; time.sleep(1)"
    service = Service(name="store", argv=(sys.executable, "-c", seconds), is_ready=lambda: True)
    seen: list[bool] = []
    part = Part(name="store", service=service, after=lambda config: seen.append(_is_healthy(config, "store")))
    monkeypatch.setattr(foreground, "plan", lambda config: (part,))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for _ in range(2):  # the second start does not take the record of the first for its own
            assert run_part(config, "store") == 0
            assert _is_healthy(config, "store")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert seen == [False, False]


@pytest.mark.parametrize("name", ["airflow", "nothing"])
def test_what_is_not_one_part_is_refused(tmp_path: Path, name: str) -> None:
    code, said = _ended(_stack(tmp_path, "run", name))
    assert code == 1
    assert "Parts: s3, postgres" in said
