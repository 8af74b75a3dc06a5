"""The password of Airflow's `admin` goes to the API server that the stack started, and to no other program at its port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from perennial.backfill.airflow_access import ServerCheck, open_airflow
from perennial.errors import PerennialError, UnreachableError

LISTEN = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0)) as server:
    print(server.getsockname()[1], flush=True)
    time.sleep(600)
"""


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the state folder of a stack that has been started."""
    for name in ("run", "secrets"):
        (tmp_path / name).mkdir()
    login = tmp_path / "secrets" / "airflow_admin"
    login.write_text("the password")
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_AIRFLOW_LOGIN", str(login))
    return tmp_path


def record(var: Path, pid: int, created: float | None = None) -> None:
    facts = {"pid": pid, "created": psutil.Process(pid).create_time() if created is None else created}
    (var / "run" / "airflow-api.json").write_text(json.dumps(facts))


@pytest.fixture
def listener() -> Iterator[tuple[int, int]]:
    """Start a process that listens on a port; return its number and the port."""
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[bytes]]]:
    """Start a program that takes any login; return its address and the bodies that it got."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(201)
            self.end_headers()
            self.wfile.write(b'{"access_token": "a token"}')

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


def test_the_recorded_process_and_its_children_are_the_stacks_own(var: Path, listener: tuple[int, int]) -> None:
    pid, port = listener
    for own in (pid, psutil.Process().pid):  # the listener is a child of this process
        record(var, own)
        ServerCheck(f"http://127.0.0.1:{port}", var / "run")()


def test_the_sockets_of_all_processes_are_read_again_only_once_the_known_one_is_closed(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[str] = []
    read = psutil.Process.net_connections
    monkeypatch.setattr(psutil.Process, "net_connections", lambda process, kind: readings.append(kind) or read(process, kind))
    me = psutil.Process().pid
    record(var, me)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        port = server.getsockname()[1]
        check = ServerCheck(f"http://127.0.0.1:{port}", var / "run")
        check()
        check()
        assert len(readings) == 1
        os.dup2(other.fileno(), server.fileno())  # another socket takes the number of this one, which is closed
        with subprocess.Popen([sys.executable, "-c", LISTEN, str(port)], stdout=subprocess.PIPE) as stranger:
            assert stranger.stdout is not None
            assert stranger.stdout.readline()
            monkeypatch.setattr(psutil.Process, "children", lambda process, recursive: [])  # it is a child of this process
            with pytest.raises(UnreachableError, match=f"does not listen on port {port}"):
                check()
            stranger.kill()


def test_a_later_process_with_the_same_number_is_not(var: Path, listener: tuple[int, int]) -> None:
    pid, port = listener
    record(var, pid, created=0.0)
    with pytest.raises(UnreachableError, match=f"does not listen on port {port}"):
        ServerCheck(f"http://127.0.0.1:{port}", var / "run")()


@pytest.mark.parametrize("state", ["down", "at another port", "ended"])
@pytest.mark.exhaustive
def test_a_stranger_at_the_port_gets_nothing(
    var: Path, listener: tuple[int, int], stranger: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    url, bodies = stranger
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URL", url)
    if state == "at another port":
        record(var, listener[0])
    if state == "ended":
        (var / "run" / "airflow-api.json").write_text('{"pid": 999999999, "created": 0.0}')
    with pytest.raises(UnreachableError, match="nothing was sent"), open_airflow():
        pass
    assert bodies == []


@pytest.mark.parametrize("how", ["relative", "linked"])
def test_a_stranger_gets_nothing_whatever_names_the_state_folder(
    var: Path,
    stranger: tuple[str, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    how: str,
) -> None:
    url, bodies = stranger
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URL", url)
    monkeypatch.chdir(var.parent)
    link = tmp_path_factory.mktemp("link") / "var"
    link.symlink_to(var)
    monkeypatch.setenv("PERENNIAL_VAR", var.name if how == "relative" else str(link))
    with pytest.raises(UnreachableError, match="nothing was sent"), open_airflow():
        pass
    assert bodies == []


def test_a_server_that_ends_gets_no_further_request(
    var: Path, stranger: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bodies = stranger
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URL", url)
    record(var, psutil.Process().pid)
    with open_airflow() as airflow:
        assert len(bodies) == 1
        (var / "run" / "airflow-api.json").unlink()
        with pytest.raises(UnreachableError, match="nothing was sent"):
            airflow.trigger("dag", {})
    assert len(bodies) == 1


def test_airflow_in_containers_or_of_the_users_is_not_looked_up(
    var: Path, stranger: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url, bodies = stranger
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URL", url)
    (var / "run").rmdir()
    with open_airflow():
        pass
    (var / "run").mkdir()
    login = tmp_path_factory.mktemp("user") / "login"
    login.write_text("mine")
    monkeypatch.setenv("PERENNIAL_AIRFLOW_LOGIN", str(login))
    with open_airflow():
        pass
    assert [json.loads(body)["password"] for body in bodies] == ["the password", "mine"]


def test_a_stack_that_was_never_started_has_no_password(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URL", "http://127.0.0.1:1")
    (var / "secrets" / "airflow_admin").unlink()
    with pytest.raises(PerennialError, match="The stack is down"):
        open_airflow()
