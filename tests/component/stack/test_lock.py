"""Commands that start or stop a stack, two at once."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psutil

from stack.config import StackConfig
from stack.lock import LOCK, alone

HOLDS = """
import sys, time
from pathlib import Path
from stack.config import StackConfig
from stack.lock import alone
with alone(StackConfig(repo=Path(sys.argv[1]), var=Path(sys.argv[1])), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    config, waited = StackConfig(repo=tmp_path, var=tmp_path), []
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    name = psutil.Process(first.pid).name()

    def on_wait(who: str) -> None:
        waited.append(who)
        first.stdin.close()  # type: ignore[union-attr]

    with alone(config, on_wait):
        assert first.wait(timeout=10) == 0
    assert waited == [f"process {first.pid} ({name}, user {psutil.Process().username()})"]


def test_other_users_cannot_hold_it_and_the_holder_is_the_one_that_the_kernel_names(tmp_path: Path) -> None:
    """A file of an earlier version, which every user could read, names a process that has ended."""
    file = tmp_path / LOCK
    file.write_text("process 1")
    file.chmod(0o644)
    waited: list[str] = []
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def on_wait(who: str) -> None:
            waited.append(who)
            fcntl.flock(held, fcntl.LOCK_UN)

        with alone(StackConfig(repo=tmp_path, var=tmp_path), on_wait):
            assert file.read_text() == f"process {os.getpid()}"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [who.partition(" (")[0] for who in waited] == [f"process {os.getpid()}"]


def test_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    first.kill()
    first.wait()
    waited: list[str] = []
    with alone(StackConfig(repo=tmp_path, var=tmp_path), waited.append):
        assert waited == []


def test_without_a_folder_none_is_made(tmp_path: Path) -> None:
    config = StackConfig(repo=tmp_path, var=tmp_path / "none")
    with alone(config, lambda who: None):
        assert not config.var.exists()
    assert not (tmp_path / LOCK).exists()
