"""The request and the answer that stand in the documentation."""

from __future__ import annotations

import json
import shlex

from perennial.config.load import load_pipeline
from perennial.serve.limits import Limits
from perennial.serve.records import RecordReader
from stack.config import REPO

DOCUMENT = "docs/reference/server.md"


def test_documented_request_fits_the_inputs_of_flight_delays(documented) -> None:
    words = shlex.split(documented(DOCUMENT, "sh")[0])
    assert words[:4] == ["curl", "http://127.0.0.1:8090/predict", "-H", "content-type: application/json"]
    records = json.loads(words[words.index("-d") + 1])
    inputs = load_pipeline("flight_delays", REPO / "include/pipelines").inputs
    numbers, texts = RecordReader(inputs, Limits()).read(records)
    assert (len(numbers), len(texts)) == (1, 1)


def test_documented_answer_has_the_keys_of_a_real_one(server, documented) -> None:
    from serve_release_builder import RECORD

    real, shown = server.predict([RECORD]).json(), json.loads(documented(DOCUMENT, "json")[0])
    assert shown.keys() == real.keys()
    assert shown["predictions"][0].keys() == real["predictions"][0].keys()
