"""The frame of a request: chunks, trailers, requests for another protocol, and requests that wait behind another one."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from serve_process import ServerProcess, read_response, request
from serve_release_builder import RECORD, build_release, inputs_of
from serve_small_s3 import SmallS3

MIB = 2**20
BODY = json.dumps([RECORD]).encode()
H2C = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQ"}


@pytest.fixture
def fresh(store: SmallS3) -> Iterator[ServerProcess]:
    """A server whose memory no other test uses."""
    release = build_release(store, "small", inputs_of("small"))
    with ServerProcess(store, "small", "--release", release) as server:
        server.wait_ready()
        yield server


def chunked(method: str, path: str, chunks: bytes) -> bytes:
    """Return a request with a chunked body, or the begin of one."""
    return request(method, path, chunks, content_length=None, transfer_encoding="chunked")


def chunks_of(body: bytes, size: int, extension: bytes = b"") -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"1\r\n[\r\n0\r\n", b"a:b\r\n"),
        (b"1\r\n[\r\n0\r\na: ", b"v"),
        (b"1\r\n[\r\n0\r\n", b"n"),
        (b"1;", b"e"),
        (b"1\r\n[\r\n", b"1;ext=12345678\r\n \r\n"),
    ],
    ids=["trailers", "value of a trailer", "name of a trailer", "extension of a chunk", "extensions of small chunks"],
)
def test_a_frame_without_end_gets_431(server: ServerProcess, begin: bytes, more: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(chunked("POST", "/predict", begin))
        time.sleep(0.2)
        connection.sendall(more * (40_000 // len(more)))
        answer = read_response(connection.makefile("rb"))

    assert answer.status == 431
    assert "Chunk sizes and trailers" in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("GET", "/v2"), ("POST", "/nowhere")])
def test_trailers_without_end_take_no_memory(fresh: ServerProcess, method: str, path: str) -> None:
    before = fresh.peak_mib()
    for _ in range(3):
        with fresh.connect() as connection:
            connection.sendall(chunked(method, path, b"1\r\n[\r\n0\r\n"))
            try:
                connection.sendall(b"a:b\r\n" * (8 * MIB // 5))
            except OSError:
                continue  # the server has closed the connection

    assert fresh.predict([RECORD]).status == 200
    assert fresh.peak_mib() - before < 64


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_small_chunks_extensions_and_trailers_are_taken(server: ServerProcess, size: int) -> None:
    message = chunked("POST", "/predict", chunks_of(BODY, size, b";a=b") + b"0\r\nexpires: never\r\n\r\n")
    with server.connect() as connection:
        stream = connection.makefile("rb")
        connection.sendall(message + message)
        assert [read_response(stream).status for _ in range(2)] == [200, 200]


def test_a_large_body_in_chunks_of_seven_bytes_is_taken(server: ServerProcess) -> None:
    body = json.dumps([RECORD] * 300).encode()

    assert server.exchange(chunked("POST", "/predict", chunks_of(body, 7) + b"0\r\n\r\n")).status == 200


@pytest.mark.parametrize("pause", [0, 0.2], ids=["one packet", "two packets"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["plain", "chunked"])
def test_a_request_that_asks_for_another_protocol_is_answered(server: ServerProcess, pause: float, is_chunked: bool) -> None:
    """Java's HTTP client asks for HTTP/2 in each first request."""
    framing = {"content_length": None, "transfer_encoding": "chunked"} if is_chunked else {}
    message = request("POST", "/predict", BODY, **H2C, **framing)
    head, body = message[: -len(BODY)], chunks_of(BODY, 100) + b"0\r\n\r\n" if is_chunked else BODY
    with server.connect() as connection:
        stream = connection.makefile("rb")
        for _ in range(2):
            connection.sendall(head if pause else head + body)
            if pause:
                time.sleep(pause)
                connection.sendall(body)
            assert read_response(stream).status == 200
        connection.sendall(request("GET", "/v2"))
        assert read_response(stream).json()["name"] == "perennial"


def test_the_body_of_a_request_for_another_protocol_is_no_request(server: ServerProcess) -> None:
    inner = request("GET", "/v2/health/live")
    with server.connect() as connection:
        stream = connection.makefile("rb")
        connection.sendall(request("POST", "/predict", b"", connection="upgrade", upgrade="x", content_length=str(len(inner))))
        time.sleep(0.2)
        connection.sendall(inner + request("GET", "/v2"))
        assert "not JSON" in read_response(stream).json()["error"]
        assert read_response(stream).json()["name"] == "perennial"


def test_pipelined_requests_for_another_protocol_are_answered_in_order(server: ServerProcess) -> None:
    upgrade, plain = request("POST", "/predict", BODY, **H2C), request("GET", "/v2")
    with server.connect() as connection:
        stream = connection.makefile("rb")
        connection.sendall(plain + upgrade + upgrade + plain)
        answers = [read_response(stream).json() for _ in range(4)]

    assert [sorted(answer)[0] for answer in answers] == ["extensions", "as_of", "as_of", "extensions"]


def test_a_broken_request_behind_another_is_no_answer_to_that(server: ServerProcess) -> None:
    with server.connect() as connection:
        connection.sendall(request("POST", "/predict", json.dumps([RECORD] * 3_000).encode()) + b"nonsense\r\n\r\n")
        assert not connection.makefile("rb").readline().startswith(b"HTTP/1.1 400")


def flood(server: ServerProcess, count: int) -> list[socket.socket]:
    """Open connections that each send 250 KiB of requests and do not read."""
    message = request("GET", "/metrics")
    connections = []
    for _ in range(count):
        connection = server.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        connection.settimeout(0.05)
        connections.append(connection)
        try:
            connection.sendall(message * (250_000 // len(message)))
        except OSError:
            continue  # the server reads no more of it
    return connections


def test_pipelined_requests_without_end_take_neither_memory_nor_time(fresh: ServerProcess) -> None:
    before = fresh.peak_mib()
    connections = flood(fresh, 40)
    began = time.monotonic()
    assert fresh.predict([RECORD]).status == 200
    assert time.monotonic() - began < 2
    assert fresh.peak_mib() - before < 64
    assert 'requests_total{code="503",route="connection"} 40.0' in fresh.metrics()
    for connection in connections:
        connection.close()
    began = time.monotonic()
    fresh.process.send_signal(signal.SIGTERM)
    assert fresh.process.wait(timeout=30) == 0
    assert time.monotonic() - began < 9
    assert "Traceback" not in fresh.log()


def test_a_stop_answers_the_request_under_way_and_none_behind_it(fresh: ServerProcess) -> None:
    """The client does not read the first answer, so that the second one is under way, and the others wait."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        connection.connect(("127.0.0.1", fresh.port))
        connection.sendall(request("POST", "/predict", json.dumps([RECORD] * 9_000).encode()) + request("GET", "/v2") * 10)
        time.sleep(2)
        fresh.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        connection.settimeout(10)
        stream = connection.makefile("rb")
        assert [read_response(stream).status for _ in range(2)] == [200, 200]
        assert stream.read() == b""
    assert fresh.process.wait(timeout=15) == 0
