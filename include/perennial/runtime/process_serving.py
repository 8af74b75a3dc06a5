"""Model servers as child processes on this machine."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections import deque

import httpx

from perennial.access.token_file import add_token
from perennial.errors import REFUSED_EXIT_CODE, ReleaseUnprovenError
from perennial.runtime.base import EndpointMissingError, StageFailedError
from perennial.runtime.child_process import LAST_LINES, child, describe_end
from perennial.runtime.endpoints import endpoint_url
from perennial.settings import server_environment

READY_SECONDS = 60.0
FOLLOW_SECONDS = 20.0
RELEASE_HEADER = "x-release"


class ProcessRuntime:
    """Model servers as processes: the staged one is a child of this process, the endpoint follows the active release."""

    name = "process"

    def __init__(self, pipeline: str, space: str = "main", *, follow_seconds: float = FOLLOW_SECONDS) -> None:
        self.pipeline = pipeline
        self.space = space
        self.follow_seconds = follow_seconds
        self._staged: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=LAST_LINES)

    def stage(self, release: str) -> httpx.Client:
        """Start the release on a free port, wait until it is ready, and return a client of it."""
        self.unstage()
        self._log.clear()
        port = _free_port()
        arguments = ["--pipeline", self.pipeline, "--space", self.space, "--release", release, "--port", str(port)]
        self._context = child("perennial.serve", arguments, server_environment())
        self._staged = process = self._context.__enter__()
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_SECONDS
        with httpx.Client(base_url=url, timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                if (code := process.poll()) is not None:
                    kind = StageFailedError if code == REFUSED_EXIT_CODE else ReleaseUnprovenError
                    raise kind(f"Release {release}: its server {describe_end(code)} before it was ready", self.staged_log())
                if _status(client, "/v2/health/ready") == httpx.codes.OK:
                    return _client(url)
                time.sleep(0.1)
        raise ReleaseUnprovenError(f"Release {release}: its server was not ready after {READY_SECONDS:.0f} s", self.staged_log())

    def staged_log(self) -> list[str]:
        """Return the last log lines of the staged server."""
        return list(self._log)

    def unstage(self) -> None:
        """Stop the staged server, if there is one."""
        if self._staged is not None:
            self._context.__exit__(None, None, None)
            self._staged = None

    def switch(self, release: str) -> None:
        """Wait until the model server, which polls the pointer, answers from `release`."""
        deadline = time.monotonic() + self.follow_seconds
        serving: str | None = None
        answered = False
        with self.endpoint() as client:
            while True:
                try:
                    answer = client.get(f"/v2/models/{self.pipeline}")
                    # 404: the server of another pipeline. 503: ours, without a release.
                    answered, serving = answer.status_code != httpx.codes.NOT_FOUND, answer.headers.get(RELEASE_HEADER)
                except httpx.TransportError:
                    answered = False
                if serving == release and answered:
                    return
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
        if not answered:
            raise EndpointMissingError(
                f"Release {release} is active, but no model server of {self.pipeline!r} at {self._url} served it "
                f"within {self.follow_seconds:.0f} s. "
                "Start it with `make up`, then run the date again or clear the task deploy: only the release check is left."
            )
        raise ReleaseUnprovenError(
            f"Release {release}: the model server at {self._url} still answers from {serving or 'no release'} "
            f"after {self.follow_seconds:.0f} s",
            remedy="Its log says why it refused the release; perennial_release_load_failures_total in /metrics counts refusals.",
        )

    def follows(self, release: str) -> bool:
        """Return False if the model server answers from another release. A stopped server follows the pointer once it runs."""
        with self.endpoint() as client:
            try:
                answer = client.get(f"/v2/models/{self.pipeline}")
            except httpx.TransportError:
                return True
        return answer.status_code == httpx.codes.NOT_FOUND or answer.headers.get(RELEASE_HEADER) == release

    def leftovers(self) -> list[str]:
        """Return none: a staged server ends with the deploy that started it."""
        return []

    def remove(self, release: str) -> None:
        """Do nothing: a release that serves no traffic has no process."""

    def endpoint(self) -> httpx.Client:
        """Return a client of the pipeline's model server."""
        return _client(self._url)

    @property
    def _url(self) -> str:
        return endpoint_url(self.pipeline)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        try:
            for line in process.stdout or ():
                self._log.append(line.rstrip())
        except ValueError:  # closed by unstage
            return


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, event_hooks={"request": [add_token]}, timeout=10, trust_env=False)


def _status(client: httpx.Client, path: str) -> int | None:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
