"""Clients that stall, trickle or leave: they lose their connection, and nobody else notices."""

from __future__ import annotations

import signal
import socket
import time

import pytest
from serve_process import ServerProcess, read_response, request
from serve_release_builder import RECORD, build_release, inputs_of, point_at
from serve_small_s3 import SmallS3


def test_slow_headers_get_408(server: ServerProcess) -> None:
    with server.connect() as connection:
        began = time.monotonic()
        connection.sendall(b"GET /v2 HTTP/1.1\r\nhost: te")
        assert read_response(connection.makefile("rb")).status == 408
        assert time.monotonic() - began < 4


def test_trickled_headers_get_408(server: ServerProcess) -> None:
    with server.connect() as connection:
        connection.settimeout(0.2)
        began, answer = time.monotonic(), b""
        for _ in range(20):
            connection.sendall(b"x-trickle: 1\r\n" if answer else b"GET /v2 HTTP/1.1\r\nx: ")
            try:
                answer = connection.recv(1000)
                break
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 4


def test_silent_connection_is_closed(server: ServerProcess) -> None:
    with server.connect() as connection:
        began = time.monotonic()
        assert connection.recv(10) == b""
        assert time.monotonic() - began < 4


@pytest.mark.parametrize("body", [b"", b"[{"], ids=["none", "some"])
def test_stalled_body_gets_408(server: ServerProcess, body: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request("POST", "/predict", body, content_length="500"))
        assert read_response(connection.makefile("rb")).status == 408
    assert server.predict([RECORD]).status == 200


def test_stalled_chunks_get_408(server: ServerProcess) -> None:
    with server.connect() as connection:
        connection.sendall(request("POST", "/predict", b"5\r\nab", content_length=None, transfer_encoding="chunked"))
        assert read_response(connection.makefile("rb")).status == 408


def test_hundred_stalled_clients_do_not_hold_the_others(server: ServerProcess) -> None:
    stalled = [server.connect() for _ in range(100)]
    try:
        for connection in stalled:
            connection.sendall(request("POST", "/predict", b"[", content_length="100000"))
        began = time.monotonic()
        assert server.predict([RECORD]).status == 200
        assert time.monotonic() - began < 1
    finally:
        for connection in stalled:
            connection.close()


def test_half_closed_client_is_still_answered(server: ServerProcess) -> None:
    with server.connect() as connection:
        connection.sendall(request("GET", "/v2"))
        connection.shutdown(socket.SHUT_WR)
        assert read_response(connection.makefile("rb")).status == 200


def test_client_that_leaves_in_its_body_is_forgotten(server: ServerProcess) -> None:
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(request("POST", "/predict", b"[{", content_length="500"))
    assert server.predict([RECORD]).status == 200
    assert 'code="500"' not in server.metrics()


@pytest.mark.parametrize("stalled", [False, True], ids=["idle", "stalled body"])
def test_sigterm_stops_within_seconds(store: SmallS3, stalled: bool) -> None:
    point_at(store, "stopping", build_release(store, "stopping", inputs_of("small")))
    with ServerProcess(store, "stopping", "--body-seconds", "60") as server:
        server.wait_ready()
        with server.connect() as connection:
            if stalled:
                connection.sendall(request("POST", "/predict", b"[", content_length="500"))
                time.sleep(0.2)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=15) == 0
            assert time.monotonic() - began < 9
            if stalled:
                assert read_response(connection.makefile("rb")).status == 503
        assert "Traceback" not in server.log()
