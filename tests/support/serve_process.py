"""Starts the real server as a process and talks to it over plain sockets, so that a test can send any bytes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from serve_small_s3 import SmallS3


class Response(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """python -m perennial.serve on a free port."""

    def __init__(self, store: SmallS3, pipeline: str, *arguments: str, **settings: str) -> None:
        self.port = free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PERENNIAL_"))}
        include = str(Path(__file__).resolve().parents[2] / "include")
        with tempfile.TemporaryFile("w+") as log:
            self._log = os.fdopen(os.dup(log.fileno()), "r+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "perennial.serve", "--pipeline", pipeline, "--port", str(self.port), *arguments],
            env={**inherited, **store.environment, "PYTHONPATH": include, "PERENNIAL_VAR": "/dev/null/none", **settings},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def wait_until(self, path: str, status: int, seconds: float = 20) -> None:
        """Wait until GET `path` gives `status`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.get(path).status == status:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"GET {path} did not give {status} within {seconds} s:\n{self.log()}")

    def wait_ready(self) -> None:
        self.wait_until("/v2/health/ready", 200)

    def wait_release(self, release: str) -> None:
        self.wait_until(f"/v2/models/small/versions/{release}/ready", 200)

    def connect(self, timeout: float = 10) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def get(self, path: str) -> Response:
        return self.exchange(request("GET", path))

    def metrics(self) -> str:
        """Return the metrics as they are now. The server renders them once a second."""
        time.sleep(1.05)
        return self.get("/metrics").body.decode()

    def predict(self, records: Any, **headers: str) -> Response:
        return self.exchange(request("POST", "/predict", json.dumps(records).encode(), **headers))

    def peak_mib(self) -> float:
        """Return the peak of the process's resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024

    def exchange(self, raw: bytes, timeout: float = 10) -> Response:
        """Send bytes on a fresh connection and read one answer; a server that closes while we still send is read as well."""
        with self.connect(timeout) as connection:
            try:
                connection.sendall(raw)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return read_response(connection.makefile("rb"), head=raw.startswith(b"HEAD "))


def request(method: str, path: str, body: bytes | None = None, **headers: str | None) -> bytes:
    """Return the bytes of a request; a header given as None is left out, and `_` in its name is written `-`."""
    fields: dict[str, str | None] = {"host": "test"}
    if body is not None:
        fields |= {"content-type": "application/json", "content-length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + (body or b"")


def read_response(stream: Any, head: bool = False) -> Response:
    """Read one answer off a buffered stream."""
    status_line = stream.readline()
    if not status_line:
        raise ConnectionError("closed without an answer")
    headers: dict[str, str] = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        headers[name.decode().lower()] = value.strip().decode()
    body = b"" if head else stream.read(int(headers["content-length"]))
    return Response(int(status_line.split()[1]), headers, body)
