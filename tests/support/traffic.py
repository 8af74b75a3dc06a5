"""Users: a steady stream of requests through `kubectl proxy` on 127.0.0.1, each with the release that answered."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from kube import KUBECTL

PER_SECOND = 50
CONNECTIONS = 5
MAX_SECONDS = 240.0


@dataclass
class Traffic:
    """What users saw. `answers` are (seconds since the start, status, release); status 0: no answer."""

    url: str
    record: dict[str, Any]
    answers: list[tuple[float, int, str | None]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)

    @property
    def failed(self) -> Counter[int]:
        """Return how many requests failed, by status."""
        return Counter(status for _, status, _ in self.answers if status != 200)

    @property
    def releases(self) -> list[str]:
        """Return the releases in the order in which they answered, each switch once."""
        seen: list[str] = []
        for _, status, release in sorted(self.answers):
            if status == 200 and release and (not seen or seen[-1] != release):
                seen.append(release)
        return seen

    def _send(self) -> None:
        pause = CONNECTIONS / PER_SECOND
        with httpx.Client(trust_env=False, timeout=5) as client:
            due = time.monotonic()
            while not self.stopping.is_set() and time.monotonic() - self.began < MAX_SECONDS:
                at = time.monotonic() - self.began
                try:
                    answer = client.post(self.url, json=[self.record])
                    self.answers.append((at, answer.status_code, answer.headers.get("x-release")))
                except httpx.TransportError:
                    self.answers.append((at, 0, None))
                due += pause
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
