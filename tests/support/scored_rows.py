"""Records with seen, unseen and null values of every type, as rows to score, and what the model server answers to them."""

from __future__ import annotations

import random
from typing import Any

import onnxruntime
import pyarrow as pa
from serve_release_builder import RECORD, expected_probability, inputs_of, lookups_of, small_graph, with_classes, with_interval

from perennial.config.limits import MAX_BODY, MAX_RECORDS, MAX_TEXT
from perennial.deploy.golden import model_table
from perennial.score.worker import Columns, Scorer
from perennial.serve.limits import Limits
from perennial.serve.lookups import read_lookup
from perennial.serve.model import Answers, Model

INPUTS = inputs_of("small")
GRAPH = small_graph(INPUTS, bias=-0.2, hidden=(8,))
FILES = lookups_of(INPUTS)
LOOKUPS = {name: read_lookup(name, document, INPUTS.lookups[name], INPUTS) for name, document in sorted(FILES.items())}
CLASSES = ["on time", "late", "very late"]
GRAPH_OF_INTERVALS = with_interval(GRAPH)
GRAPH_OF_CLASSES = with_classes(GRAPH, CLASSES)
ANSWER = expected_probability(GRAPH, INPUTS, FILES, RECORD)
CARRIERS = ["UA", "AA", "DL", "ÉÅ", "never"]


def make_records(rows: int, day: str = "2026-03-01") -> list[dict[str, Any]]:
    """Return records of a date, the same every time."""
    chance = random.Random(5)
    return [
        {
            "date": day,
            "dep_time": f"{chance.randrange(24):02}:{chance.randrange(60):02}",
            "distance": chance.choice([0.1, 1e9, chance.uniform(-5_000, 5_000)]),
            "temp": None if chance.random() < 0.2 else chance.gauss(50, 20),
            "is_holiday": chance.random() < 0.3,
            "carrier": chance.choice(CARRIERS),
            "origin": chance.choice(["JFK", "origin1", "origin2", "new"]),
            "tailnum": None if chance.random() < 0.2 else chance.choice(["N1", "tailnum1", "tailnum2", f"N{chance.random()}"]),
        }
        for _ in range(rows)
    ]


def serve(records: list[dict[str, Any]], graph: bytes = GRAPH) -> Answers:
    """Return the answers of the model server's own code."""
    limits = Limits(body_bytes=MAX_BODY, records=MAX_RECORDS, text_characters=MAX_TEXT)
    return Model(graph, INPUTS, LOOKUPS, limits).answer(records)


def to_rows(records: list[dict[str, Any]]) -> pa.Table:
    """Return records as the rows of a table, each with an id."""
    return model_table(records, INPUTS, {}).append_column("id", pa.array(range(len(records))))


def make_release(**changes: Any) -> Scorer:
    """Return the release as a worker gets it."""
    facts: dict[str, Any] = {
        "graph": GRAPH,
        "columns": Columns(INPUTS.numbers, INPUTS.texts),
        "request": {name: (field.type, field.nullable) for name, field in INPUTS.request.items()},
        "lookups": {name: (lookup, INPUTS.lookups[name].values) for name, lookup in LOOKUPS.items()},
        "files": {},
        "known": {"carrier": frozenset(["AA", "B6", "DL", "UA"])},
        "golden": model_table([RECORD], INPUTS, {}),
        "answers": [ANSWER],
        "spread": 1.0,
        "onnxruntime": onnxruntime.__version__,
        "row_key": ["id"],
    }
    return Scorer(**facts | changes)
