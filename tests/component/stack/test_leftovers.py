"""Processes that a killed stack left behind: found by the stack's mark and folder, and no others."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from perennial.runtime.process_record import is_alive
from perennial.settings import SERVICE_MARK
from stack.config import StackConfig
from stack.leftovers import end_leftovers
from stack.process import Service, recorded, start, stop

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
PARENT = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:], start_new_session=True); time.sleep(600)"


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(repo=tmp_path, var=tmp_path / "var")


@pytest.fixture
def process() -> Iterator[Callable[..., psutil.Process]]:
    """Return a function that starts a process with an environment."""
    started = []

    def begin(**environment: str) -> psutil.Process:
        started.append(subprocess.Popen(SLEEP, env=environment, start_new_session=True))
        return psutil.Process(started[-1].pid)

    yield begin
    for one in started:
        one.kill()
        one.wait()


def test_a_marked_process_of_no_service_is_ended(config: StackConfig, process: Callable[..., psutil.Process]) -> None:
    left = process(**{SERVICE_MARK: "airflow", "PERENNIAL_VAR": str(config.var)})
    assert end_leftovers(config) == 1
    assert not is_alive(left)


def test_other_stacks_and_a_users_own_processes_are_spared(config: StackConfig, process: Callable[..., psutil.Process]) -> None:
    others = [
        process(**{SERVICE_MARK: "airflow", "PERENNIAL_VAR": f"{config.var}-2"}),
        process(**{SERVICE_MARK: "airflow"}),
        process(PERENNIAL_VAR=str(config.var)),
    ]
    assert end_leftovers(config) == 0
    assert all(map(is_alive, others))


def test_a_container_whose_folder_has_the_same_name_is_spared(config: StackConfig) -> None:
    contained = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*contained, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a name space of processes")
    marks = [f"{SERVICE_MARK}=airflow", f"PERENNIAL_VAR={config.var}"]
    container = subprocess.Popen([*contained, "env", *marks, *SLEEP], env={"PATH": "/usr/bin:/bin"})
    try:
        while not any("time.sleep" in " ".join(inside.cmdline()) for inside in psutil.Process(container.pid).children()):
            time.sleep(0.01)
        assert end_leftovers(config) == 0
        assert container.poll() is None
    finally:
        container.kill()
        container.wait()


def test_a_running_service_and_what_it_started_are_spared(config: StackConfig) -> None:
    service = Service(name="parent", argv=(sys.executable, "-c", PARENT, *SLEEP), is_ready=lambda: len(_members(config)) == 2)
    start(config, service)
    try:
        assert end_leftovers(config) == 0
        assert all(map(is_alive, _members(config)))
        assert len(_members(config)) == 2
    finally:
        stop(config, service)


def test_what_a_killed_service_started_is_ended_though_its_record_is_lost(config: StackConfig) -> None:
    service = Service(name="parent", argv=(sys.executable, "-c", PARENT, *SLEEP), is_ready=lambda: len(_members(config)) == 2)
    start(config, service)
    leader, child = _members(config)
    leader.kill()
    while is_alive(leader):
        time.sleep(0.01)
    (config.run / "parent.json").unlink()
    assert end_leftovers(config) == 1
    assert not is_alive(child)


def _members(config: StackConfig) -> list[psutil.Process]:
    record = recorded(config, "parent")
    leader = record.process() if record else None
    return [leader, *leader.children()] if leader else []
