"""Many connections: half requests of one client lock no one out. Bad requests are counted and do not fill the log."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from serve_process import ServerProcess, read_response, request
from serve_release_builder import RECORD, build_release, inputs_of
from serve_small_s3 import SmallS3

from perennial.serve.crowd import crowded_network, longest_waiting, network_of
from perennial.serve.repeats import Repeats

CONNECTIONS = 256
"""Connections of a server of 64 MiB."""

HALF = {
    "nothing": b"",
    "headers": b"GET /v2 HTTP/1.1\r\nhost: te",
    "body": request("POST", "/predict", b"[", content_length="500"),
    "idle": request("GET", "/v2"),
}


@contextmanager
def crowd(
    server: ServerProcess, count: int, message: bytes, address: str = "127.0.0.1", pause: float = 0
) -> Iterator[list[socket.socket]]:
    """Open connections from an address, and send this on each, with a pause after it. Their kernel takes few bytes of answers."""
    connections = []
    try:
        for _ in range(count):
            connection = socket.socket()
            connections.append(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(10)
            connection.bind((address, 0))
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(message)
            time.sleep(pause)
        yield connections
    finally:
        for connection in connections:
            connection.close()


def refused(server: ServerProcess) -> float:
    """Return the number of connections that the server has refused."""
    lines = server.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if 'code="503",route="connection"' in line)


@pytest.fixture(scope="module")
def small(store: SmallS3) -> Iterator[ServerProcess]:
    release = build_release(store, "small", inputs_of("small"))
    settings = {"PERENNIAL_SERVER_MEMORY_MIB": "64", "PERENNIAL_SERVER_ADDRESS_CONNECTIONS": "200"}
    with ServerProcess(store, "small", "--release", release, **settings) as server:
        server.wait_ready()
        yield server


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.3"]], ids=["same address", "others"])
def test_half_requests_lock_no_one_out(small: ServerProcess, kind: str, addresses: list[str]) -> None:
    with crowd(small, CONNECTIONS, HALF[kind], addresses[0]), crowd(small, CONNECTIONS, HALF[kind], addresses[-1]):
        for _ in range(5):
            began = time.monotonic()
            assert small.predict([RECORD]).status == 200
            assert time.monotonic() - began < 2


def test_an_address_beyond_its_share_loses_the_connection_that_waited_longest(small: ServerProcess) -> None:
    with crowd(small, 1, HALF["headers"], "127.0.0.4") as (oldest,):
        time.sleep(0.1)
        with crowd(small, 199, HALF["headers"], "127.0.0.4"):
            time.sleep(0.1)
            with crowd(small, 1, HALF["headers"], "127.0.0.4") as (newest,):
                answer = read_response(oldest.makefile("rb"))
                assert (answer.status, answer.json()["error"]) == (503, "Too many connections. Try again")
                newest.sendall(b"st\r\n\r\n")
                assert read_response(newest.makefile("rb")).status == 200


def test_all_addresses_of_loopback_count_as_one_client(small: ServerProcess) -> None:
    before = refused(small)
    with ExitStack() as crowds:
        for last in range(1, 251):
            crowds.enter_context(crowd(small, 1, HALF["headers"], f"127.0.1.{last}"))
        assert refused(small) - before >= 50


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.255.3.9", True),
        ("127.0.0.1", "::1", True),
        ("127.0.0.1", "::ffff:127.0.0.2", True),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("/run/model.sock", "/run/other.sock", False),
    ],
)
def test_addresses_of_one_owner_are_one_network(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


@dataclass
class Connection:
    network: str
    number: int = 0
    is_waiting: bool = True


def chosen(connections: list[Connection], limit: int = 16) -> Connection | None:
    """Return the connection that a newcomer replaces, of connections in the order in which they began to wait."""
    networks = Counter(connection.network for connection in connections)
    return longest_waiting(connections, crowded_network(networks, limit))


def test_the_network_with_the_most_connections_loses_its_longest_waiting_one() -> None:
    gateway = [Connection("gateway", 1), Connection("gateway", 2)]
    attacker = [Connection("attacker", 3, is_waiting=False), Connection("attacker", 4), Connection("attacker", 5)]
    assert chosen([*gateway, *attacker]) == Connection("attacker", 4)


def test_many_small_networks_do_not_crowd_out_a_gateway() -> None:
    """The gateway has the most connections, but not more than an eighth: the oldest half request goes, of any network."""
    attackers = [Connection(f"attacker{index}") for index in range(14)]
    assert chosen([*attackers, Connection("gateway", 1), Connection("gateway", 2)]) == attackers[0]


def test_a_newcomer_replaces_no_connection_that_is_answered() -> None:
    busy = [Connection("gateway", is_waiting=False)] * 16
    assert chosen(busy) is None
    assert chosen([*busy, Connection("other")]) is None


def test_a_request_that_is_answered_is_not_cut_for_a_newcomer(small: ServerProcess) -> None:
    message = request("POST", "/predict", json.dumps([RECORD] * 5_000).encode())
    with crowd(small, 10, message) as busy, crowd(small, CONNECTIONS + 50, HALF["nothing"]):
        assert [read_response(connection.makefile("rb")).status for connection in busy] == [200] * 10


def test_no_more_connections_than_the_limit_are_open(small: ServerProcess) -> None:
    before = refused(small)
    with crowd(small, 150, HALF["headers"], "127.0.0.6"), crowd(small, 150, HALF["headers"], "127.0.0.7"):
        assert refused(small) - before >= 300 - CONNECTIONS


def test_answers_that_no_one_reads_are_dropped(small: ServerProcess) -> None:
    message = request("POST", "/predict", json.dumps([RECORD] * 5_000).encode())
    with crowd(small, 60, message, "127.0.0.5", pause=0.1):
        deadline = time.monotonic() + 20
        while 'code="408",route="connection"' not in small.get("/metrics").body.decode():
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_bad_requests_are_counted_and_do_not_fill_the_log(small: ServerProcess) -> None:
    before = len(small.log().splitlines())
    for _ in range(50):
        assert small.exchange(b"nonsense\r\n\r\n").status == 400
        assert small.exchange(request("GET", "/v2", connection="upgrade", upgrade="websocket")).status == 200
        assert small.exchange(request("POST", "/predict", b"{")).status == 400

    counts = [line.split() for line in small.get("/metrics").body.decode().splitlines() if 'requests_total{code="400"' in line]
    assert sum(float(value) for _, value in counts) >= 100
    assert len(small.log().splitlines()) - before <= 3


def test_a_line_that_repeats_is_written_once_a_minute_with_the_count() -> None:
    now, written = [0.0], []
    repeats = Repeats(lambda: now[0])

    def log(level: int, text: str) -> None:
        record = logging.LogRecord("server", level, "", 1, "%s", (text,), None)
        if repeats.filter(record):
            written.append(record.getMessage())

    for second in range(130):
        now[0] = float(second)
        log(logging.WARNING, "bad")
        log(logging.INFO, "switched")
    log(logging.ERROR, "worse")

    more = "bad (59 more since the last such line)"
    assert [text for text in written if text != "switched"] == ["bad", more, more, "worse"]
    assert written.count("switched") == 130
