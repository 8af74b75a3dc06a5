"""The embedded runtime: training and model servers are child processes on this machine."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import httpx

from perennial.config.pipeline import Training
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError, ReleaseUnprovenError
from perennial.runtime.base import EndpointMissingError, StageFailedError
from perennial.runtime.endpoints import endpoint_url

log = logging.getLogger(__name__)

READY_SECONDS = 60.0
FOLLOW_SECONDS = 20.0
STOP_SECONDS = 10.0
LAST_LINES = 20
FEWEST_JOBS = 10
"""Trainings that are worth a process of their own: to start the libraries costs as much as one or two of them."""
RELEASE_HEADER = "x-release"


def train(job_uris: Sequence[str], on_line: Callable[[str], None] | None = None, *, processes: int = 1) -> None:
    """
    Train jobs in one process after another, or in several side by side, passing on what they say line by line (default: to the log).

    The processes and whatever they start end with this one, however this one ends. When one fails the others go on to their
    end; the error is that of the first one, which has the first job.
    """
    say = on_line or (lambda line: log.info("%s", line))
    shares = [job_uris[start::processes] for start in range(min(processes, len(job_uris)))]
    with ExitStack() as stack:
        trainers = [
            stack.enter_context(child("perennial.train", [word for uri in share for word in ("--job", uri)])) for share in shares
        ]
        ends = [deque[str](maxlen=LAST_LINES) for _ in shares]
        names = [f"[{number}] " if len(shares) > 1 else "" for number in range(1, len(shares) + 1)]
        listeners = [
            threading.Thread(target=_pass_on, args=(trainer, name, say, last), daemon=True)
            for trainer, name, last in zip(trainers, names, ends, strict=True)
        ]
        for listener in listeners:
            listener.start()
        for listener in listeners:
            listener.join()
        codes = [trainer.wait() for trainer in trainers]
    for share, code, last in zip(shares, codes, ends, strict=True):
        if code != 0:
            named = f"{', '.join(share[:3])}{' …' if len(share) > 3 else ''}"
            problem = f"Training of {named} {_how_it_ended(code)}. Its last lines:\n" + "\n".join(last)
            raise RefusedError(problem) if code == REFUSED_EXIT_CODE else PerennialError(problem)


def trainers_at_once(training: Training, jobs: int, *, candidates: int | None = None) -> int:
    """
    Return how many processes should train `jobs` dates of one candidate.

    :param candidates: how many are trained beside each other; all of the pipeline's unless it is said
    """
    if training.warm_start:
        return 1  # each begins with what the one before it left
    candidates = candidates or len(training.candidates)
    return max(1, min(len(os.sched_getaffinity(0)) // candidates, jobs // FEWEST_JOBS))


def _pass_on(process: subprocess.Popen[str], name: str, say: Callable[[str], None], last: deque[str]) -> None:
    for line in process.stdout or ():
        last.append(line.rstrip())
        say(name + line.rstrip())


@contextmanager
def child(module: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a module as a child in a session of its own; leaving the block ends it with all it started."""
    command = [sys.executable, "-u", "-m", "perennial.runtime.child", str(os.getpid()), module, *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """End a child's whole process group: first politely, then not; and at once what a child that has ended left behind."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("Process %s did not stop within %.0f s and is killed", process.pid, STOP_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
    if process.stdout:
        process.stdout.close()


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        log.debug("process group %s is gone", group)


class ProcessRuntime:
    """Model servers as processes: the staged one is a child of ours, the endpoint follows the pointer to the active release."""

    name = "process"

    def __init__(self, pipeline: str, space: str = "main", *, follow_seconds: float = FOLLOW_SECONDS) -> None:
        self.pipeline = pipeline
        self.space = space
        self.follow_seconds = follow_seconds
        self._staged: subprocess.Popen[str] | None = None
        self._said: deque[str] = deque(maxlen=LAST_LINES)

    def stage(self, release: str) -> httpx.Client:
        """Start the release on a free port, wait until it is ready, and return a client of it."""
        self.unstage()
        self._said.clear()
        port = _free_port()
        arguments = ["--pipeline", self.pipeline, "--space", self.space, "--release", release, "--port", str(port)]
        self._context = child("perennial.serve", arguments)
        self._staged = process = self._context.__enter__()
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_SECONDS
        with httpx.Client(base_url=url, timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                if (code := process.poll()) is not None:
                    kind = StageFailedError if code == REFUSED_EXIT_CODE else ReleaseUnprovenError
                    raise kind(f"Release {release}: its server {_how_it_ended(code)} before it was ready", self.staged_log())
                if _status(client, "/v2/health/ready") == httpx.codes.OK:
                    return _client(url)
                time.sleep(0.1)
        raise ReleaseUnprovenError(f"Release {release}: its server was not ready after {READY_SECONDS:.0f} s", self.staged_log())

    def staged_log(self) -> list[str]:
        """Return the last lines that the staged server said."""
        return list(self._said)

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
                f"Release {release} is active, but no model server of {self.pipeline!r} follows at {self._url} within {self.follow_seconds:.0f} s. "
                "Start it with `make up`, then run the date again or clear the task deploy: only the check of the release is left."
            )
        raise ReleaseUnprovenError(
            f"Release {release}: the model server at {self._url} still answers from {serving or 'no release'} "
            f"after {self.follow_seconds:.0f} s",
            remedy="Its log and /metrics say why it refused the release.",
        )

    def follows(self, release: str) -> bool:
        """Return False when the model server answers from something else; one that does not run will follow the pointer when it does."""
        with self.endpoint() as client:
            try:
                answer = client.get(f"/v2/models/{self.pipeline}")
            except httpx.TransportError:
                return True
        return answer.status_code == httpx.codes.NOT_FOUND or answer.headers.get(RELEASE_HEADER) == release

    def leftovers(self) -> list[str]:
        """Return none: what was staged ends with the deploy that staged it."""
        return []

    def remove(self, release: str) -> None:
        """Do nothing: a release that serves nobody is no process."""

    def endpoint(self) -> httpx.Client:
        """Return a client of the pipeline's model server."""
        return _client(self._url)

    @property
    def _url(self) -> str:
        return endpoint_url(self.pipeline)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        try:
            for line in process.stdout or ():
                self._said.append(line.rstrip())
        except ValueError:  # closed by unstage
            return


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=10, trust_env=False)


def _status(client: httpx.Client, path: str) -> int | None:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
