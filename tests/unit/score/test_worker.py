"""The scoring of rows in a worker: the answers of the model server, whatever the batches; nothing for what it would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scored_rows import INPUTS, make_records, make_release, serve, to_rows
from serve_release_builder import small_graph

from perennial.score import worker
from perennial.score.worker import PROBLEM, Scorer, make_scorer

RECORDS = make_records(2_000)


def batches_of(rows: pa.Table, size: int) -> Iterator[pa.RecordBatch]:
    return iter(rows.to_batches(max_chunksize=size))


def score(rows: pa.Table, size: int = 10_000, **changes: Any) -> pa.Table:
    return pa.Table.from_batches(make_scorer(make_release(**changes))(batches_of(rows, size)))


def test_each_row_gets_the_answer_of_the_model_server_to_the_bit() -> None:
    scored, served = score(to_rows(RECORDS)), serve(RECORDS)

    assert scored["id"].to_pylist() == list(range(len(RECORDS)))
    assert scored["p"].to_numpy().tobytes() == np.array(served.predictions, np.float32).tobytes()
    assert scored["unseen"].to_pylist() == [",".join(fields) for fields in served.unseen]
    assert len(set(scored["unseen"].to_pylist())) > 5, "the rows differ in what was never seen"
    assert scored[PROBLEM].null_count == len(RECORDS)


@pytest.mark.parametrize(("size", "gathered"), [(1, 7), (7, 100), (777, 1)])
def test_the_bits_do_not_depend_on_the_batches(size: int, gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = to_rows(RECORDS[:300])
    monkeypatch.setattr(worker, "ROWS", gathered)
    assert score(rows, size).equals(score(rows).select(["id", "p", "unseen", PROBLEM]))


def problem_of(scored: pa.Table) -> str:
    """Return the only row's problem."""
    assert scored.num_rows == 1, "no row has a score"
    return str(scored[PROBLEM][0].as_py())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"answers": [0.123]}, "1 of 1 golden answers differ; golden record 0: 0."),
        ({"graph": small_graph(INPUTS, bias=0.5, hidden=(8,))}, "golden answers differ"),
        ({"onnxruntime": "1.0.0"}, "expected 1.0.0"),
        ({"answers": [float("nan")]}, "golden answers differ"),
    ],
    ids=["answer", "graph", "library", "no number"],
)
def test_a_release_that_does_not_give_its_golden_answers_scores_nothing(changes: dict[str, Any], text: str) -> None:
    assert text in problem_of(score(to_rows(RECORDS[:10]), **changes))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("distance", None, "row id=3: distance is null"),
        ("distance", float("nan"), "row id=3: distance is null"),
        ("distance", 1e39, "row id=3: distance is out of range"),
        ("temp", float("inf"), "row id=3: temp is out of range"),
        ("carrier", None, "row id=3: carrier is null"),
        ("carrier", "", "row id=3: carrier is null"),
        ("carrier", "x" * 1001, "row id=3: carrier is out of range"),
        ("dep_time", 1440, "row id=3: dep_time is out of range"),
        ("is_holiday", None, "row id=3: is_holiday is null"),
    ],
)
def test_a_value_that_the_model_server_would_refuse_is_named(field: str, value: Any, text: str) -> None:
    rows = to_rows(RECORDS[:10])
    values = rows[field].to_pylist()
    values[3] = value
    at = rows.column_names.index(field)
    assert problem_of(score(rows.set_column(at, field, pa.array(values, rows[field].type)), 4)) == text


def test_an_answer_that_is_no_finite_number_names_its_row() -> None:
    rows = to_rows(RECORDS[:10])
    infinite = rows.set_column(rows.column_names.index("distance"), "distance", pa.array([1e38] * 10))
    graph = small_graph(INPUTS, bias=float("nan"), hidden=(8,))

    def ask_nothing(scorer: Scorer) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "find_wrong_golden", ask_nothing)
        assert problem_of(score(infinite, graph=graph)) == "row id=0: the model's answer is not a finite number"
