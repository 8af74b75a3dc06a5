"""Hostile and broken requests against the real server: each gets its exact 4xx, and the server goes on answering."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from serve_process import ServerProcess, request
from serve_release_builder import RECORD, infer

from perennial.config.limits import MAX_TEXT

MIB = 2**20


def records(**changes: Any) -> bytes:
    return json.dumps([{**RECORD, **changes}]).encode()


def without(name: str) -> bytes:
    return json.dumps([{key: value for key, value in RECORD.items() if key != name}]).encode()


def raw(field: str, text: str) -> bytes:
    """Return a record in which one field is written exactly so."""
    return records(**{field: "@@"}).replace(b'"@@"', text.encode("utf-8", "surrogatepass"))


PLAIN = records()

BODIES: dict[str, tuple[bytes, int, str]] = {
    # not JSON
    "empty": (b"", 400, "empty"),
    "blank": (b" \n\t ", 400, "not JSON"),
    "text": (b"hello", 400, "not JSON"),
    "half": (PLAIN[:-5], 400, "not JSON"),
    "two documents": (PLAIN + PLAIN, 400, "not JSON"),
    "trailing comma": (PLAIN[:-1] + b",]", 400, "not JSON"),
    "single quotes": (PLAIN.replace(b'"', b"'"), 400, "not JSON"),
    "comment": (b"/* */" + PLAIN, 400, "not JSON"),
    "control character in a text": (raw("carrier", '"A\x01"'), 400, "not JSON"),
    "bad escape": (raw("carrier", '"\\x41"'), 400, "not JSON"),
    "leading zero": (raw("distance", "01"), 400, "not JSON"),
    "hexadecimal": (raw("distance", "0x10"), 400, "not JSON"),
    "NaN": (raw("distance", "NaN"), 400, "NaN"),
    "Infinity": (raw("distance", "Infinity"), 400, "Infinity"),
    "minus Infinity": (raw("distance", "-Infinity"), 400, "-Infinity"),
    "integer of 5000 digits": (raw("distance", "9" * 5000), 400, "4300 digits"),
    "invalid UTF-8": (raw("carrier", '"@"').replace(b"@", b"\xff"), 400, "not UTF-8"),
    "encoded surrogate": (raw("carrier", '"@"').replace(b"@", b"\xed\xa0\x80"), 400, "not UTF-8"),
    "UTF-16": (PLAIN.decode().encode("utf-16"), 400, "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN, 400, "byte order mark"),
    "zeros": (b"\x00" * 1000, 400, "not JSON"),
    "deep lists": (b"[" * 100_000, 400, "nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, 400, "nested too deeply"),
    "deep and closed": (b"[" * 50_000 + b"]" * 50_000, 400, "nested too deeply"),
    "duplicate key": (PLAIN[:-2] + b',"carrier":"AA"}]', 400, '"carrier" is listed twice'),
    "duplicate unknown key": (b'[{"x":1,"x":2}]', 400, '"x" is listed twice'),
    "duplicate escaped key": (PLAIN[:-2] + b',"c\\u0061rrier":"AA"}]', 400, '"carrier" is listed twice'),
    # not a list of records
    "null": (b"null", 422, "found null"),
    "number": (b"7", 422, "found the number 7"),
    "object": (PLAIN[1:-1], 422, "found an object"),
    "wrapped": (b'{"records":' + PLAIN + b"}", 422, "found an object"),
    "empty list": (b"[]", 422, "empty"),
    "list of null": (b"[null]", 422, "record 0: expected an object"),
    "list of lists": (b"[[1,2]]", 422, "record 0: expected an object"),
    "empty record": (b"[{}]", 422, "is missing"),
    "10,001 records": (b"[" + b",".join([b"{}"] * 10_001) + b"]", 413, "10001 records"),
    "second record bad": (json.dumps([RECORD, {**RECORD, "distance": "x"}]).encode(), 422, "record 1: field 'distance'"),
    # fields
    "missing number": (without("distance"), 422, "field 'distance' is missing"),
    "missing category": (without("carrier"), 422, "field 'carrier' is missing"),
    "missing nullable": (without("temp"), 422, "field 'temp' is missing"),
    "misspelt": (without("distance")[:-2] + b',"distence":1}]', 422, "Did you mean 'distance'?"),
    "unknown field": (records(label=1), 422, 'unknown field "label"'),
    "prototype": (records(__class__="x"), 422, 'unknown field "__class__"'),
    "unknown surrogate key": (PLAIN[:-2] + b',"\\ud800":1}]', 422, "unknown field"),
    "unknown huge key": (records(**{"k" * 100_000: 1}), 422, "unknown field"),
    "null number": (records(distance=None), 422, "field 'distance'"),
    "null category": (records(carrier=None), 422, "field 'carrier'"),
    "true as number": (records(distance=True), 422, "found true"),
    "text as number": (records(distance="12"), 422, 'found the text "12"'),
    "list as number": (records(distance=[1]), 422, "found a list of 1"),
    "object as number": (records(distance={}), 422, "found an object"),
    "1e999": (raw("distance", "1e999"), 422, "field 'distance'"),
    "-1e999": (raw("distance", "-1e999"), 422, "field 'distance'"),
    "beyond float32": (raw("distance", "1e39"), 422, "field 'distance'"),
    "integer of 400 digits": (raw("distance", "9" * 400), 422, "an integer of 1329 bits"),
    "1e999 where nullable": (raw("temp", "1e999"), 422, "field 'temp'"),
    "number as boolean": (records(is_holiday=1), 422, "true or false"),
    "text as boolean": (records(is_holiday="true"), 422, "true or false"),
    "time 24:00": (records(dep_time="24:00"), 422, "field 'dep_time'"),
    "time 8:30": (records(dep_time="8:30"), 422, "field 'dep_time'"),
    "time as minutes": (records(dep_time=510), 422, "field 'dep_time'"),
    "time with seconds": (records(dep_time="08:30:00"), 422, "field 'dep_time'"),
    "time in other digits": (records(dep_time="٠٨:٣٠"), 422, "field 'dep_time'"),
    "time with newline": (records(dep_time="08:30\n"), 422, "field 'dep_time'"),
    "date 30 February": (records(date="2013-02-30"), 422, "field 'date'"),
    "date with newline": (records(date="2013-02-1\n"), 422, "field 'date'"),
    "date in other digits": (records(date="٢٠١٣-02-13"), 422, "field 'date'"),
    "date without dashes": (records(date="20130213"), 422, "field 'date'"),
    "date as number": (records(date=20130213), 422, "field 'date'"),
    "timestamp": (records(date="2013-02-13T00:00:00"), 422, "field 'date'"),
    "empty category": (records(carrier=""), 422, "field 'carrier'"),
    "number as category": (records(carrier=7), 422, "field 'carrier'"),
    "list as category": (records(carrier=["UA"]), 422, "field 'carrier'"),
    "long category": (records(carrier="U" * (MAX_TEXT + 1)), 422, "field 'carrier'"),
    "huge category": (records(carrier="U" * MIB), 422, "field 'carrier'"),
    "lone surrogate": (raw("carrier", '"\\ud800"'), 422, "field 'carrier'"),
    "reversed surrogates": (raw("tailnum", '"\\udc00\\ud800"'), 422, "field 'tailnum'"),
    "8 MiB and one byte": (b" " * (8 * MIB + 1), 413, "larger than"),
}


@pytest.mark.parametrize("case", BODIES)
def test_bad_body_of_predict_gets_its_4xx(server: ServerProcess, case: str) -> None:
    body, status, text = BODIES[case]

    answer = server.exchange(request("POST", "/predict", body))

    assert answer.status == status, answer.body[:500]
    document = answer.json()
    assert text in " ".join([document["error"], *document.get("problems", [])])
    assert len(answer.body) < 4000
    assert server.predict([RECORD]).status == 200


def tensor(field: str, **changes: Any) -> dict[str, Any]:
    """Return an infer request in which one tensor is changed."""
    return {"inputs": [item | changes if item["name"] == field else item for item in infer()["inputs"]]}


INFER: dict[str, tuple[Any, str]] = {
    "list": ([RECORD], "found a list"),
    "no inputs": ({}, "inputs is missing"),
    "inputs null": ({"inputs": None}, "found null"),
    "inputs empty": ({"inputs": []}, "input 'date' is missing"),
    "one input less": ({"inputs": infer()["inputs"][1:]}, "input 'date' is missing"),
    "input twice": ({"inputs": infer()["inputs"] * 2}, "is listed twice"),
    "input not an object": ({"inputs": ["distance"]}, "expected an object"),
    "unknown key": (infer(input=1), 'unknown key "input"'),
    "unknown tensor key": (tensor("distance", dat=[1]), 'unknown key "dat"'),
    "unknown input": (tensor("distance", name="distence"), "Did you mean 'distance'?"),
    "wrong datatype": (tensor("distance", datatype="BYTES"), "expected datatype FP64"),
    "datatype a list": (tensor("distance", datatype=["FP64"]), "expected datatype FP64"),
    "INT32 1.5": (tensor("distance", datatype="INT32", data=[1.5]), "input 'distance': the number 1.5 is not a valid INT32"),
    "INT8 1000": (tensor("distance", datatype="INT8", data=[1000]), "1000 is not a valid INT8"),
    "UINT8 -5": (tensor("distance", datatype="UINT8", data=[-5]), "-5 is not a valid UINT8"),
    "UINT64 2**64": (tensor("distance", datatype="UINT64", data=[2**64]), "is not a valid UINT64"),
    "FP16 1e5": (tensor("distance", datatype="FP16", data=[1e5]), "is not a valid FP16"),
    "FP32 1e39": (tensor("distance", datatype="FP32", data=[1e39]), "is not a valid FP32"),
    "true as INT8": (tensor("distance", datatype="INT8", data=[True]), "record 0: field 'distance'"),
    "wrong shape": (tensor("distance", shape=[2]), "expected shape [1]"),
    "shape true": (tensor("distance", shape=[True]), "expected shape [1]"),
    "shape huge": (tensor("distance", shape=[1] * 100_000), "expected shape [1]"),
    "negative shape": (tensor("distance", shape=[-1]), "expected shape [1]"),
    "different lengths": (tensor("distance", shape=[2], data=[1, 2]), "different lengths"),
    "no data": (tensor("distance", data=None), "expected a list as data"),
    "bad value": (tensor("distance", data=["x"]), "record 0: field 'distance'"),
    "empty tensors": ({"inputs": [item | {"shape": [0], "data": []} for item in infer()["inputs"]]}, "empty"),
    "unknown output": (infer(outputs=[{"name": "label"}]), "expected one of probability, unseen"),
    "output twice": (infer(outputs=[{"name": "unseen"}, {"name": "unseen"}]), "once"),
    "outputs an object": (infer(outputs={}), "expected a list"),
    "id a number": (infer(id=7), "id: expected a text"),
    "id huge": (infer(id="x" * 10_000), "id: expected a text"),
}


@pytest.mark.parametrize("case", INFER)
def test_bad_infer_request_gets_422(server: ServerProcess, case: str) -> None:
    document, text = INFER[case]

    answer = server.exchange(request("POST", "/v2/models/small/infer", json.dumps(document).encode()))

    assert answer.status == 422, answer.body[:500]
    said = answer.json()
    assert text in " ".join([said["error"], *said.get("problems", [])])
    assert len(answer.body) < 4000
    assert server.predict([RECORD]).status == 200


def test_too_many_elements_are_refused_before_a_record_is_made_of_each(server: ServerProcess) -> None:
    body = json.dumps(tensor("distance", shape=[10_001], data=[1] * 10_001)).encode()

    answer = server.exchange(request("POST", "/v2/models/small/infer", body))

    assert answer.status == 413
    assert "10001 records" in answer.json()["error"]


HTTP: dict[str, tuple[bytes, int]] = {
    "GET of predict": (request("GET", "/predict"), 405),
    "HEAD of predict": (request("HEAD", "/predict"), 405),
    "PUT": (request("PUT", "/predict", PLAIN), 405),
    "DELETE with a body": (request("DELETE", "/predict", PLAIN), 405),
    "OPTIONS": (request("OPTIONS", "/predict"), 405),
    "PATCH of health": (request("PATCH", "/v2/health/live"), 405),
    "POST of metrics": (request("POST", "/metrics", PLAIN), 405),
    "unknown method": (request("FETCH", "/predict"), 400),
    "unknown path": (request("GET", "/admin"), 404),
    "path with dots": (request("GET", "/../../etc/passwd"), 404),
    "path encoded": (request("GET", "/v2/models/%2e%2e%2fsmall"), 404),
    "escaped letter": (request("GET", "/v%32"), 404),
    "escaped slash": (request("GET", "/v2%2Fhealth%2flive"), 404),
    "escaped path of predict": (request("POST", "/%70redict", PLAIN), 404),
    "CONNECT": (request("CONNECT", "test:80"), 400),
    "slash at the end": (request("GET", "/v2/"), 404),
    "long path": (request("GET", "/" + "a" * 20_000), 404),
    "other model": (request("GET", "/v2/models/other"), 404),
    "other release": (request("GET", "/v2/models/small/versions/1999-01-01-000000000000"), 404),
    "no content type": (request("POST", "/predict", PLAIN, content_type=None), 415),
    "form": (request("POST", "/predict", PLAIN, content_type="application/x-www-form-urlencoded"), 415),
    "octets": (request("POST", "/v2/models/small/infer", PLAIN, content_type="application/octet-stream"), 415),
    "other charset": (request("POST", "/predict", PLAIN, content_type="application/json; charset=latin-1"), 415),
    "gzip": (request("POST", "/predict", gzip.compress(PLAIN), content_encoding="gzip"), 415),
    "gzip, chunked": (request("POST", "/predict", b"0\r\n\r\n", content_length=None, transfer_encoding="gzip, chunked"), 501),
    "no length": (request("POST", "/predict", b"", content_length=None), 411),
    "length of 1 TB": (request("POST", "/predict", b"x", content_length="1000000000000"), 413),
    "negative length": (request("POST", "/predict", PLAIN, content_length="-1"), 400),
    "length not a number": (request("POST", "/predict", PLAIN, content_length="ten"), 400),
    "length and chunked": (request("POST", "/predict", PLAIN, transfer_encoding="chunked"), 400),
    "two lengths": (request("POST", "/predict", PLAIN, host="a\r\ncontent-length: 3"), 400),
    "bad chunk": (request("POST", "/predict", b"zz\r\n", content_length=None, transfer_encoding="chunked"), 400),
    "chunks beyond 8 MiB": (
        request(
            "POST",
            "/predict",
            b"100000\r\n%b\r\n" % (b" " * MIB) * 9 + b"0\r\n\r\n",
            content_length=None,
            transfer_encoding="chunked",
        ),
        413,
    ),
    "header of 40 KiB": (request("GET", "/v2", x_large="a" * 40_000), 431),
    "many headers": (request("GET", "/v2", **{f"x-{index}": "a" * 20 for index in range(2_000)}), 431),
    "5,000 short headers": (b"GET /v2 HTTP/1.1\r\nhost: test\r\n" + b"a:b\r\n" * 5_000 + b"\r\n", 431),
    "101 headers": (b"GET /v2 HTTP/1.1\r\nhost: test\r\n" + b"a:b\r\n" * 100 + b"\r\n", 431),
    "short headers without end": (b"GET /v2 HTTP/1.1\r\nhost: test\r\n" + b"a:b\r\n" * 200, 431),
    "no host": (request("GET", "/v2", host=None), 400),
    "two hosts": (request("GET", "/v2", host="a\r\nhost: b"), 400),
    "no host, with a body": (request("POST", "/predict", PLAIN, host=None), 400),
    "two hosts in HTTP/1.0": (b"GET /v2 HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    "CR in a header": (b"GET /v2 HTTP/1.1\r\nhost: a\rb\r\n\r\n", 400),
    "bare LF": (b"GET /v2 HTTP/1.1\nhost: a\n\n", 400),
    "escape in the target": (b"GET /\x1b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "length +2": (request("POST", "/predict", b"[]", content_length="+2"), 400),
    "length 10^20": (request("POST", "/predict", b"[]", content_length="1" + "0" * 20), 400),
    "chunk overflow": (
        request("POST", "/predict", b"f" * 17 + b"\r\n", content_length=None, transfer_encoding="chunked"),
        400,
    ),
    "header without end": (b"GET /v2 HTTP/1.1\r\nx: " + b"a" * 100_000, 431),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "header with NUL": (request("GET", "/v2", x="a\x00b"), 400),
    "space in header name": (request("GET", "/v2", **{"x y": "a"}), 400),
    "path beyond ASCII": (b"GET /\xff HTTP/1.1\r\nhost: test\r\n\r\n", 400),
}


@pytest.mark.parametrize("case", HTTP)
def test_bad_http_gets_its_4xx(server: ServerProcess, case: str) -> None:
    message, status = HTTP[case]

    answer = server.exchange(message)

    assert answer.status == status, answer.body[:500]
    if not message.startswith(b"HEAD"):
        assert answer.json()["error"]
    if status == 405:
        assert answer.headers["allow"]
    assert server.predict([RECORD]).status == 200


@pytest.mark.parametrize("kind", ["keys of the request", "keys of a tensor", "names of tensors", "fields of a record"])
def test_unknown_names_without_end_are_refused_within_a_second(server: ServerProcess, kind: str) -> None:
    """Looking for the name that was meant takes a tenth of a millisecond each."""
    names = [f"{'paremeters'[at % 10 :]}{at}" for at in range(100_000)]
    many: Any = dict.fromkeys(names, 0)
    document = {
        "keys of the request": many,
        "keys of a tensor": tensor("distance", **many),
        "names of tensors": {"inputs": [{"name": name} for name in names]},
        "fields of a record": [many],
    }[kind]
    path = "/predict" if kind == "fields of a record" else "/v2/models/small/infer"

    answer = server.exchange(request("POST", path, json.dumps(document).encode()), timeout=60)

    assert answer.status == 422
    assert 1 <= len(answer.json().get("problems", [""])) <= 10
    assert float(answer.headers["server-timing"].removeprefix("app;dur=")) < 1000


def test_at_most_ten_problems_are_named(server: ServerProcess) -> None:
    answer = server.predict([{**RECORD, "distance": "x", "carrier": 1, "origin": 2}] * 5_000)

    assert answer.status == 422
    assert len(answer.json()["problems"]) == 10
