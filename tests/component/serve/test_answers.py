"""What the server answers when it is asked properly, over the real server."""

from __future__ import annotations

import json

import pytest
from serve_process import ServerProcess, read_response, request
from serve_release_builder import RECORD, expected_probability, infer, inputs_of, lookups_of, small_graph

INPUTS = inputs_of("small")
RELEASE = "2013-02-12-0123456789ab"


def expected(record: dict[str, object]) -> float:
    return expected_probability(small_graph(INPUTS, 0.0), INPUTS, lookups_of(INPUTS), record)


@pytest.mark.parametrize(
    ("changes", "unseen"),
    [
        ({}, []),
        ({"tailnum": "N999"}, ["tailnum"]),
        ({"tailnum": None}, []),
        ({"carrier": "AA"}, ["carrier"]),
        ({"origin": "origin1"}, ["origin", "carrier"]),
        ({"carrier": "QQ", "tailnum": "Ñ'\"; DROP"}, ["carrier", "tailnum"]),
        ({"temp": -12.5, "is_holiday": True, "distance": 7, "dep_time": "00:00", "date": "1969-12-31"}, []),
    ],
    ids=["seen", "unseen tail", "null tail", "unseen carrier", "unseen combination", "unseen category", "other values"],
)
def test_probability_is_the_graphs_and_unseen_values_are_flagged(
    server: ServerProcess, changes: dict[str, object], unseen: list[str]
) -> None:
    record = {**RECORD, **changes}

    answer = server.predict([record]).json()

    assert answer["predictions"][0]["probability"] == pytest.approx(expected(record), abs=1e-6)
    assert sorted(answer["predictions"][0]["unseen"]) == sorted(unseen)
    assert {name: answer[name] for name in ("model_version", "release", "as_of")} == {
        "model_version": f"mlp-{RELEASE}",
        "release": RELEASE,
        "as_of": "2013-02-13",
    }


def test_order_of_fields_does_not_matter(server: ServerProcess) -> None:
    turned = dict(reversed(RECORD.items()))

    assert server.predict([turned]).body == server.predict([RECORD]).body


def test_ten_thousand_records_in_one_request(server: ServerProcess) -> None:
    batch = [{**RECORD, "distance": index} for index in range(10_000)]

    answer = server.predict(batch)

    assert answer.status == 200
    probabilities = [prediction["probability"] for prediction in answer.json()["predictions"]]
    assert len(probabilities) == 10_000
    assert probabilities[1234] == pytest.approx(expected(batch[1234]), abs=1e-6)


def test_infer_gives_the_same_answer_as_predict(server: ServerProcess) -> None:
    asked = infer(id="a-1", outputs=[{"name": "probability"}])

    answer = server.exchange(request("POST", f"/v2/models/small/versions/{RELEASE}/infer", json.dumps(asked).encode())).json()

    assert answer["id"] == "a-1"
    assert answer["model_version"] == RELEASE
    assert [output["name"] for output in answer["outputs"]] == ["probability"]
    assert answer["outputs"][0]["shape"] == [1]
    assert answer["outputs"][0]["data"][0] == server.predict([RECORD]).json()["predictions"][0]["probability"]


@pytest.mark.parametrize("nulls", [("id",), ("outputs",), ("parameters",), ("id", "outputs", "parameters")], ids=" ".join)
def test_infer_takes_an_optional_key_that_is_null_as_absent(server: ServerProcess, nulls: tuple[str, ...]) -> None:
    asked = infer(**dict.fromkeys(nulls))

    found, plain = (
        server.exchange(request("POST", "/v2/models/small/infer", json.dumps(body).encode())) for body in (asked, infer())
    )

    assert found.status == 200, found.body
    assert found.json() == plain.json()
    assert "id" not in found.json()


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT8", -128),
        ("INT16", 32767),
        ("UINT8", 255),
        ("INT64", 7),
        ("FP16", 1089.5),
        ("FP32", 1e30),
        ("FP64", 1e30),
        ("INT8", None),
    ],
)
def test_infer_takes_what_its_number_types_hold(server: ServerProcess, datatype: str, value: float | None) -> None:
    field = "temp" if value is None else "distance"
    tensors = [item | {"datatype": datatype, "data": [value]} if item["name"] == field else item for item in infer()["inputs"]]

    answer = server.exchange(request("POST", "/v2/models/small/infer", json.dumps({"inputs": tensors}).encode()))

    assert answer.status == 200, answer.body


def test_infer_takes_columns_of_shape_n_1(server: ServerProcess) -> None:
    tensors = [item | {"shape": [2, 1], "data": [item["data"], item["data"]]} for item in infer()["inputs"]]

    answer = server.exchange(request("POST", "/v2/models/small/infer", json.dumps({"inputs": tensors}).encode()))

    assert answer.status == 200, answer.body
    assert len(answer.json()["outputs"][0]["data"]) == 2


def test_metadata_names_every_field(server: ServerProcess) -> None:
    answer = server.get("/v2/models/small").json()

    assert {tensor["name"] for tensor in answer["inputs"]} == set(RECORD)
    assert answer["versions"] == [RELEASE]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/small/ready", "/metrics"])
def test_get_routes_answer_and_head_has_no_body(server: ServerProcess, path: str) -> None:
    answer = server.get(path)
    head = server.exchange(request("HEAD", path))

    assert answer.status == head.status == 200
    assert answer.headers["x-release"] == RELEASE
    assert head.body == b""


def test_metrics_count_routes_codes_rows_and_unseen(server: ServerProcess) -> None:
    server.predict([{**RECORD, "tailnum": "N999"}])

    text = server.metrics()

    for name in (
        'perennial_requests_total{code="200",route="/predict"}',
        'perennial_request_seconds_bucket{le="0.001",route="/predict"}',
        "perennial_rows_total",
        'perennial_unseen_total{field="tailnum"}',
        f'perennial_release_info{{as_of="2013-02-13",pipeline="small",release="{RELEASE}"',
    ):
        assert name in text


def test_http_1_0_needs_no_host(server: ServerProcess) -> None:
    assert server.exchange(b"GET /v2 HTTP/1.0\r\n\r\n").status == 200


def test_hundred_headers_are_taken(server: ServerProcess) -> None:
    assert server.exchange(b"GET /v2 HTTP/1.1\r\nhost: test\r\n" + b"a:b\r\n" * 99 + b"\r\n").status == 200


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_upgrade_is_ignored(server: ServerProcess, protocol: str) -> None:
    assert server.exchange(request("GET", "/v2", connection="upgrade", upgrade=protocol)).status == 200


def test_chunked_body_is_read(server: ServerProcess) -> None:
    body = json.dumps([RECORD]).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"

    answer = server.exchange(request("POST", "/predict", chunks, content_length=None, transfer_encoding="chunked"))

    assert answer.status == 200


def test_expect_continue_is_answered(server: ServerProcess) -> None:
    body = json.dumps([RECORD]).encode()
    with server.connect() as connection:
        connection.sendall(request("POST", "/predict", body, expect="100-continue").removesuffix(body))
        stream = connection.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        stream.readline()
        connection.sendall(body)
        assert read_response(stream).status == 200


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    distances = [1.0, 400.0, 90_000.0]
    with server.connect() as connection:
        connection.sendall(
            b"".join(
                request("POST", "/predict", json.dumps([{**RECORD, "distance": distance}]).encode()) for distance in distances
            )
        )
        stream = connection.makefile("rb")
        found = [read_response(stream).json()["predictions"][0]["probability"] for _ in distances]

    assert found == pytest.approx([expected({**RECORD, "distance": distance}) for distance in distances], abs=1e-6)


def test_pipelined_large_bodies_are_answered(server: ServerProcess) -> None:
    message = request("POST", "/predict", json.dumps([RECORD] * 2_000).encode())
    with server.connect() as connection:
        stream = connection.makefile("rb")
        connection.sendall(message * 3)
        assert [read_response(stream).status for _ in range(3)] == [200, 200, 200]


def test_many_small_pipelined_requests_in_one_piece_are_answered(server: ServerProcess) -> None:
    message = request("GET", "/v2/health/live", x_padding="a" * 900)
    with server.connect() as connection:
        stream = connection.makefile("rb")
        connection.sendall(message * 25 + message[:500])
        connection.sendall(message[500:])
        assert [read_response(stream).status for _ in range(26)] == [200] * 26


def test_metrics_are_rendered_once_a_second(server: ServerProcess) -> None:
    """Anyone may ask for them, and they take a hundred times as long as other answers."""
    first = server.metrics()

    assert [server.get("/metrics").body.decode() for _ in range(10)] == [first] * 10
    assert server.metrics() != first


def test_connection_stays_open_after_a_refusal(server: ServerProcess) -> None:
    with server.connect() as connection:
        stream = connection.makefile("rb")
        for body, status in ((b"[{}]", 422), (json.dumps([RECORD]).encode(), 200)):
            connection.sendall(request("POST", "/predict", body))
            assert read_response(stream).status == status
