"""
Clients that press on a server's memory from all sides at once, beside one that asks for single records.

By hand, for longer: python tests/support/serve_pressure.py --seconds 300 --memory-mib 512
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import socket
import sys
import threading
import time
from collections import Counter

from serve_process import ServerProcess, read_response, request
from serve_release_builder import RECORD, build_release, infer, inputs_of, point_at
from serve_small_s3 import SmallS3

CLIENTS = {"few_stalled": 4, "many_stalled": 60, "huge": 4, "batches": 4, "unread": 12, "headers": 150, "single": 1}
"""The kinds of clients, and how many of each."""

INFER = "/v2/models/small/infer"


def filled(piece: bytes, size: int = 7_900_000) -> bytes:
    """Return a list of about this size."""
    return b"[" + b",".join([piece] * (size // (len(piece) + 1))) + b"]"


def keys(size: int = 7_900_000) -> bytes:
    """Return a list of one object with as many keys as fit."""
    return b"[{" + b",".join(b'"%x":1' % number for number in range(size // 11)) + b"}]"


def tensors(rows: int) -> bytes:
    """Return an infer request of some records."""
    return json.dumps({"inputs": [item | {"shape": [rows], "data": item["data"] * rows} for item in infer()["inputs"]]}).encode()


LARGE = [
    ("/predict", filled(b"{}")),
    ("/predict", filled(b'{"a":1}')),
    ("/predict", filled(b"[]")),
    ("/predict", filled(b"[" * 900 + b"]" * 900)),
    ("/predict", filled('"ā"'.encode())),
    ("/predict", keys()),
    (INFER, b'{"inputs":[{"name":"distance","shape":[3900000],"datatype":"FP64","data":' + filled(b"1", 7_800_000) + b"}]}"),
]
BATCHES = [("/predict", json.dumps([RECORD] * 10_000).encode()), (INFER, tensors(10_000))]


class Pressure:
    """All clients of one server. Bodies that stall fill the server's buffers only from the second half of the time on."""

    def __init__(self, server: ServerProcess, seconds: float) -> None:
        self.answers: dict[str, Counter[str]] = {name: Counter() for name in CLIENTS}
        self.latencies: list[float] = []
        """Seconds of the requests for single records."""

        self._server = server
        self._half, self._until = time.monotonic() + seconds / 2, time.monotonic() + seconds

    def run(self) -> None:
        """Send everything at once until the time is over."""
        clients = [(name, number) for name, count in CLIENTS.items() for number in range(count)]
        threads = [threading.Thread(target=self._repeat, args=client, daemon=True) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self._until + 60 - time.monotonic()))

    def _repeat(self, name: str, number: int) -> None:
        send = getattr(self, name)
        for turn in itertools.count(number):
            if time.monotonic() > self._until:
                return
            try:
                self.answers[name][send(turn)] += 1
            except OSError as error:
                self.answers[name][type(error).__name__] += 1
                time.sleep(0.05)

    def few_stalled(self, turn: int) -> str:
        with self._server.connect(30) as connection:
            connection.sendall(request("POST", "/predict", b" " * 7_900_000, content_length="8000000"))
            status = read_response(connection.makefile("rb")).status
        time.sleep(0.5)
        return str(status)

    def many_stalled(self, turn: int) -> str:
        time.sleep(max(0.0, self._half - time.monotonic()))
        return self.few_stalled(turn)

    def huge(self, turn: int) -> str:
        return str(self._server.exchange(request("POST", *LARGE[turn % len(LARGE)]), 60).status)

    def batches(self, turn: int) -> str:
        return str(self._server.exchange(request("POST", *BATCHES[turn % 2]), 60).status)

    def unread(self, turn: int) -> str:
        with self._server.connect(5) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request("POST", *BATCHES[0]) * 2)
            time.sleep(2)
        return "left"

    def headers(self, turn: int) -> str:
        with self._server.connect(30) as connection:
            connection.sendall(b"GET /v2 HTTP/1.1\r\n" + b"a:b\r\n" * 90 + b"x: " + b"a" * 30_000)
            return str(read_response(connection.makefile("rb")).status)

    def single(self, turn: int) -> str:
        began = time.monotonic()
        status = self._server.predict([RECORD]).status
        self.latencies.append(time.monotonic() - began)
        time.sleep(0.1)
        return str(status)


def main() -> None:
    """Press on a server of a given memory, and print its peak."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=300)
    arguments.add_argument("--memory-mib", type=int, default=512)
    options = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    with SmallS3() as store:
        point_at(store, "small", build_release(store, "small", inputs_of("small")))
        with ServerProcess(store, "small", PERENNIAL_SERVER_MEMORY_MIB=str(options.memory_mib)) as server:
            server.wait_ready()
            before = server.peak_mib()
            found = Pressure(server, options.seconds)
            found.run()
            for name, answers in found.answers.items():
                sys.stdout.write(f"{name}: {dict(answers)}\n")
            slow = sorted(found.latencies)
            sys.stdout.write(f"single records: p50 {slow[len(slow) // 2]:.3f} s, slowest {slow[-1]:.3f} s\n")
            sys.stdout.write(f"MiB: {before:.0f} before, peak {server.peak_mib():.0f}, limit {options.memory_mib}\n")
            sys.stdout.write(f"lines of the log: {len(server.log().splitlines())}\n")


if __name__ == "__main__":
    main()
