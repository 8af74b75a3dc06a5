"""Users: a steady stream of requests through `kubectl proxy` on 127.0.0.1, each with the release that answered."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
from kube import KUBECTL

PER_SECOND = 50
CONNECTIONS = 5
MAX_SECONDS = 240.0


class Answer(NamedTuple):
    """One answer: when its request was sent and when it came (seconds since the start); status 0: none came."""

    sent: float
    came: float
    status: int
    release: str | None


@dataclass
class Traffic:
    """A stream of requests, and the answers that users got."""

    url: str
    record: dict[str, Any]
    answers: list[Answer] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)

    @property
    def failed(self) -> Counter[int]:
        """Return how many requests failed, by status."""
        return Counter(answer.status for answer in self.answers if answer.status != 200)

    @property
    def releases(self) -> list[str]:
        """Return the releases in the order in which they answered, each switch once.

        Of requests that were under way together, either may have reached the Service first: they tell no order. A release
        comes back if it answers a request that was sent after the answer of the next release had come.
        """
        seen: list[str] = []
        came: list[float] = []  # the first answer of each
        for answer in sorted(self.answers, key=lambda answer: answer.sent):
            if answer.status != 200 or answer.release is None:
                continue
            if seen and answer.release == seen[-1]:
                came[-1] = min(came[-1], answer.came)
            elif not (len(seen) > 1 and answer.release == seen[-2] and answer.sent < came[-1]):
                seen.append(answer.release)
                came.append(answer.came)
        return seen

    def _send(self) -> None:
        pause = CONNECTIONS / PER_SECOND
        with httpx.Client(trust_env=False, timeout=5) as client:
            due = time.monotonic()
            while not self.stopping.is_set() and time.monotonic() - self.began < MAX_SECONDS:
                sent = time.monotonic() - self.began
                try:
                    answer = client.post(self.url, json=[self.record])
                    status, release = answer.status_code, answer.headers.get("x-release")
                except httpx.TransportError:
                    status, release = 0, None
                self.answers.append(Answer(sent, time.monotonic() - self.began, status, release))
                # No request is made up for: after a slow answer a burst of quick failures would count as many seconds of them.
                due = max(due + pause, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def traffic(namespace: str, service: str, record: dict[str, Any]) -> Iterator[Traffic]:
    """Send requests while the block runs; at the end all of them have been answered or have failed."""
    command: Sequence[str] = [*KUBECTL, "proxy", "--port=0", "--address=127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            port = proxy.stdout.readline().rpartition(":")[2].strip()
            path = f"api/v1/namespaces/{namespace}/services/{service}:http/proxy/predict"
            users = Traffic(f"http://127.0.0.1:{port}/{path}", record)
            threads = [threading.Thread(target=users._send, daemon=True) for _ in range(CONNECTIONS)]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            yield users
            time.sleep(0.5)
            users.stopping.set()
            for thread in threads:
                thread.join(timeout=10)
        finally:
            proxy.terminate()
