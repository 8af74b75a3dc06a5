"""Processes of Airflow as forks of one that imported it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from perennial.settings import SERVICE_MARK
from stack.airflow import connections, prepare_airflow
from stack.airflow_forks import SHARED_MARK, AirflowForks
from stack.config import REPO, StackConfig
from stack.errors import StackError
from stack.process import mark_of


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    config = StackConfig(repo=REPO, var=tmp_path)
    prepare_airflow(config)
    return config


def test_forks_are_services_of_their_own(config: StackConfig, tmp_path: Path) -> None:
    forks = AirflowForks(config)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    environment = config.process_environment({**connections(), SERVICE_MARK: "one"})
    numbers = [forks.fork(["config", "get-value", "core", "executor"], environment, log) for log in logs]
    deadline = time.monotonic() + 60
    while os.getsid(numbers[1]) != numbers[1]:  # a moment after it was forked
        assert time.monotonic() < deadline
    marks = [mark_of(config, psutil.Process(number)) for number in numbers]  # though they have titles
    while not all(log.exists() and "stack.executor.PromptLocalExecutor" in log.read_text() for log in logs):
        assert time.monotonic() < deadline, [log.read_text() for log in logs if log.exists()]
        time.sleep(0.1)
    assert len(set(numbers)) == 2
    assert all(mark == SHARED_MARK for mark in marks)
    assert all(log.stat().st_mode & 0o777 == 0o600 for log in logs)


def test_it_ends_with_the_process_that_asked(config: StackConfig, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from stack.config import StackConfig, REPO; "
        "from stack.airflow_forks import AirflowForks\n"
        "config = StackConfig(repo=REPO, var=Path(sys.argv[1])); forks = AirflowForks(config)\n"
        "forks.fork(['version'], config.process_environment(), Path(sys.argv[1]) / 'version.log'); print(forks._process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    number, deadline = int(done.stdout), time.monotonic() + 30
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_airflow_that_cannot_be_imported_is_said(config: StackConfig, tmp_path: Path) -> None:
    (tmp_path / "airflow").mkdir(exist_ok=True)
    (tmp_path / "broken" / "airflow").mkdir(parents=True)
    (tmp_path / "broken" / "airflow" / "__init__.py").write_text("raise ImportError('broken on purpose')", encoding="utf-8")
    environment = config.process_environment({"PYTHONPATH": str(tmp_path / "broken")})
    with pytest.raises(StackError, match=r"airflow scheduler did not start.*airflow-import\.log"):
        AirflowForks(config).fork(["scheduler"], environment, tmp_path / "scheduler.log")
    assert "broken on purpose" in (tmp_path / "airflow-import.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("said", "found"), [("{other}", "which it did not start"), ("-1", "which does not run")])
def test_a_number_of_a_process_that_it_did_not_start_is_refused(tmp_path: Path, said: str, found: str) -> None:
    """The import process of root's stack is not root's, and root later ends the processes that it recorded."""
    other = subprocess.Popen(["sleep", "60"])
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nread line\necho {said.format(other=other.pid)}\nread line\n")
    python.chmod(0o755)
    try:
        with pytest.raises(StackError, match=f"airflow scheduler did not start.*{found}; expected"):
            AirflowForks(StackConfig(repo=tmp_path, var=tmp_path)).fork(["scheduler"], {}, tmp_path / "scheduler.log")
    finally:
        other.kill()
        other.wait()


def test_none_of_our_own_code_is_shared_with_tasks() -> None:
    """A task must run what the files say now: their digests are part of every key."""
    script = "import stack.airflow_import, stack.executor, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if name.partition(".")[0] in ("perennial", "perennial_airflow")] == []
