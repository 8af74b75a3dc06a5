"""Real processes: started, known again, stopped with all that they started."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from perennial.runtime.process_record import Record
from stack.config import StackConfig
from stack.errors import StackError
from stack.process import Service, is_running, log_path, recorded, start, stop

PARENT = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(repo=tmp_path, var=tmp_path)


@pytest.fixture
def service(config: StackConfig, tmp_path: Path) -> Iterator[Service]:
    ready = tmp_path / "child"
    argv = (sys.executable, "-c", PARENT, str(ready))
    one = Service(name="parent", argv=argv, is_ready=lambda: ready.exists() and ready.read_text() != "", stop_seconds=5)
    yield one
    stop(config, one)


def child_of(config: StackConfig) -> int:
    return int((config.var / "child").read_text())


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_start_twice_starts_once(config: StackConfig, service: Service) -> None:
    assert start(config, service) is True
    first = recorded(config, "parent")
    assert start(config, service) is False
    assert recorded(config, "parent") == first


def test_stop_ends_children_that_left_the_session(config: StackConfig, service: Service) -> None:
    start(config, service)
    child = child_of(config)
    assert stop(config, service) is True
    assert not is_alive(child)
    assert not is_running(config, "parent")
    assert stop(config, service) is False


def test_stop_after_a_kill_ends_the_orphans(config: StackConfig, service: Service) -> None:
    start(config, service)
    record, child = recorded(config, "parent"), child_of(config)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    while record.process():
        time.sleep(0.01)
    assert is_alive(child)
    assert not is_running(config, "parent")
    assert stop(config, service) is True
    assert not is_alive(child)


def test_stop_ends_an_orphan_of_the_session_while_nobody_reaps_its_leader(config: StackConfig) -> None:
    script = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], env={}); "
        "time.sleep(600)"
    )
    one = Service(name="one", argv=(sys.executable, "-c", script), is_ready=lambda: bool(leader_of(config).children()))
    start(config, one)
    leader = leader_of(config)
    (orphan,) = leader.children()  # shows no mark, as a worker of Airflow's does that took a title
    leader.kill()
    while leader.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert is_alive(orphan.pid)
    assert stop(config, one) is True
    assert not is_alive(orphan.pid)


def leader_of(config: StackConfig) -> psutil.Process:
    record = recorded(config, "one")
    assert record is not None
    return psutil.Process(record.pid)


def test_a_recycled_number_is_not_ours(config: StackConfig, service: Service) -> None:
    config.run.mkdir(parents=True)
    myself = psutil.Process()
    record = {"pid": myself.pid, "created": myself.create_time() - 100}
    (config.run / "parent.json").write_text(json.dumps(record), encoding="utf-8")
    assert not is_running(config, "parent")
    assert stop(config, service) is False  # and this test is still alive


def test_a_process_is_known_by_number_and_start(config: StackConfig) -> None:
    myself = psutil.Process()
    assert Record(myself.pid, myself.create_time()).process() == myself
    assert Record(myself.pid, myself.create_time() + 60).process() is None


def test_taken_port_is_named_before_the_start(config: StackConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        one = Service(name="one", argv=(sys.executable, "-c", "raise SystemExit"), is_ready=lambda: True, ports=(port,))
        with pytest.raises(StackError, match=rf"needs port {port}, which is taken by .*PERENNIAL_PORT_OFFSET"):
            start(config, one)
    assert recorded(config, "one") is None


def test_a_service_that_ends_while_starting_shows_its_last_words(config: StackConfig) -> None:
    argv = (sys.executable, "-c", "raise SystemExit('no such table')")
    with pytest.raises(StackError, match=r"ended while starting[\s\S]*no such table"):
        start(config, Service(name="one", argv=argv, is_ready=lambda: False))


def test_what_a_killed_service_leaves_is_removed_and_what_another_stack_made_is_not(config: StackConfig, tmp_path: Path) -> None:
    left = tmp_path / "left.sock"
    left.touch()
    one = Service(name="one", argv=("sleep", "60"), is_ready=lambda: True, leaves=(left,), stop_signal=signal.SIGKILL)
    assert stop(config, one) is False
    assert left.exists()
    start(config, one)
    stop(config, one)
    assert not left.exists()


def test_logs_are_for_the_user_alone(config: StackConfig, service: Service) -> None:
    before = os.umask(0)
    try:
        start(config, service)
    finally:
        os.umask(before)
    assert log_path(config, "parent").exists()
    assert stat.S_IMODE(config.logs.stat().st_mode) == 0o700
