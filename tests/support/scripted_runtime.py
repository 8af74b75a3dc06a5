"""A runtime for tests: two small HTTP servers (staged, endpoint) that answer golden requests, and fail as they are told."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

from perennial.deploy.protocol import read_golden
from perennial.errors import ReleaseUnprovenError
from perennial.lake.lake import Lake
from perennial.runtime.base import EndpointMissingError, StageFailedError


class Server:
    """One server; what it answers from is `release`, what it does wrong is in the public fields."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.release: str | None = None
        self.shift = 0.0
        self.delay_seconds = 0.0
        self.fails = ""
        self._known: dict[str, dict[str, float]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                records = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.answer(self, records)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler, records: list[dict[str, Any]]) -> None:
        assert self.release is not None
        if self.release not in self._known:
            golden = read_golden(self.lake, self.release)
            pairs = zip(golden.records, golden.expected.answers, strict=True)
            self._known[self.release] = {json.dumps(record, sort_keys=True): p for record, p in pairs}
        known = self._known[self.release]
        found = [{"probability": known[json.dumps(record, sort_keys=True)] + self.shift} for record in records]
        body = json.dumps({"predictions": found}).encode()
        time.sleep(self.delay_seconds)
        if self.fails == "gone":  # as from a process that died in the middle of it
            handler.close_connection = True
            return
        handler.send_response(503 if self.fails == "stopping" else 200)
        handler.send_header("content-length", str(len(body)))
        handler.send_header("x-release", self.release)
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@dataclass
class ScriptedRuntime:
    """
    The seam `Runtime`, with knobs.

    Versions can be refused, ignored, wrong or slow. The staged server can be killed; the model server can be missing.
    """

    lake: Lake
    refuses: set[str] = field(default_factory=set)
    ignores: set[str] = field(default_factory=set)
    wrong_when_live: set[str] = field(default_factory=set)
    slow_versions: set[str] = field(default_factory=set)
    slow_when_live: set[str] = field(default_factory=set)
    is_missing: bool = False
    is_killed: bool = False
    has_drifted: bool = False
    removed: list[str] = field(default_factory=list)
    staged_releases: list[str] = field(default_factory=list)
    before_switch: Any = None
    name: str = "process"

    def __enter__(self) -> Self:
        self.staged, self.live = Server(self.lake), Server(self.lake)
        return self

    def __exit__(self, *_: object) -> None:
        self.staged.close()
        self.live.close()

    def version(self, release: str) -> str:
        return str(self.lake.objects.read_existing(self.lake.layout.release(release)).json()["version"])

    def stage(self, release: str) -> httpx.Client:
        self.staged_releases.append(release)
        if self.version(release) in self.refuses:
            raise StageFailedError(f"Release {release}: its server ended with 65", ["unknown input 'speed'"])
        if self.is_killed:
            raise ReleaseUnprovenError(f"Release {release}: its server was ended by SIGKILL before it was ready")
        self.staged.release = release
        if self.slow_versions:
            self.staged.delay_seconds = 0.3 if self.version(release) in self.slow_versions else 0.0
        return httpx.Client(base_url=self.staged.url, trust_env=False)

    def staged_log(self) -> list[str]:
        return ["a line of the staged server"]

    def unstage(self) -> None:
        if self.before_switch is not None:
            act, self.before_switch = self.before_switch, None
            act()

    def switch(self, release: str) -> None:
        if self.is_missing:
            raise EndpointMissingError("no model server follows; start it with `make up`")
        if self.version(release) in self.ignores:
            raise ReleaseUnprovenError(f"Release {release}: the model server still answers from another")
        self.live.release = release
        if self.slow_when_live:
            self.live.delay_seconds = 0.3 if self.version(release) in self.slow_when_live else 0.0
        self.live.shift = 0.5 if self.version(release) in self.wrong_when_live else 0.0

    def leftovers(self) -> list[str]:
        return []

    def follows(self, release: str) -> bool:
        return not self.has_drifted

    def remove(self, release: str) -> None:
        self.removed.append(release)

    def endpoint(self) -> httpx.Client:
        return httpx.Client(base_url=self.live.url, trust_env=False)
