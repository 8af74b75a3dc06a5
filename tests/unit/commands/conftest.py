"""Commands as a person runs them: their one JSON value, a lake of one pipeline, and an endpoint with scripted answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from perennial.cli import run_command
from stack.config import REPO

Call = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the tests away from a stack that runs on this machine, and let there be one pipeline, which need not be named."""
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    shutil.copytree(REPO / "tests" / "pipelines" / "machine_faults", tmp_path / "only" / "machine_faults")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "only"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command with --json and returns its exit code and its one value."""

    def run(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = run_command([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def lake(s3, pipeline_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return the lake of a copy of machine_faults, which the commands find as well."""
    pipeline = pipeline_factory()
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    return s3.open_lake(pipeline)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[Any], list[tuple[int, bytes]]]]:
    """Serve scripted answers as the pipeline's endpoint; yield what was asked, and the answers."""
    seen: list[Any] = []
    answers: list[tuple[int, bytes]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", str(server.server_port))
        yield seen, answers
        server.shutdown()
