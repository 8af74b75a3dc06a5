"""
Scores rows in a Python worker of Spark, with the functions that training and the model server use.

Workers get these functions themselves: on other machines, this package is not installed.
A failure is returned as a value, so that Spark does not try it again and its text has no stack trace.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from perennial.config.answers import BOUNDS
from perennial.config.limits import MAX_DATE, MAX_MINUTE, MAX_NUMBER, MAX_TEXT, MIN_DATE
from perennial.models.scoring import answer_rows, encode_texts, to_column
from perennial.serve.lookup_file import map_file, open_tables
from perennial.serve.lookups import Key, Lookup

if TYPE_CHECKING:
    from perennial.config.inputs import Inputs

PREDICTION, CLASS, UNSEEN, PROBLEM = "p", "class", "unseen", "__problem"
ROWS = 100_000
"""Rows for which the graph is opened once. A table of so many takes tens of megabytes."""

TOLERANCE = 1e-5
"""The largest difference between an answer to a golden request and the stored one; the model server has the same."""

ROUNDING = 2.0**-22
"""Relative difference of two numbers that 32-bit floats can round apart; the model server has the same."""

Batches = Iterator[pa.RecordBatch]
Places = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of the graph's two tensors, in order."""

    numbers: list[str]
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Scorer:
    """
    A release, ready to be opened in a worker.

    :param request: type of each request field, and whether it may be null
    :param lookups: by name, in order of name: the lookup and the names of its values
    :param files: by lookup, the name of the file that Spark sent to this machine; the others are in `lookups`
    :param known: the values of each category that the model has seen
    :param golden: rows of golden requests
    :param answers: their predictions, [requests] or [requests, classes]
    :param spread: the standard deviation of the labels of a regression; 1 for a probability
    :param row_key: the columns that are returned with each score
    :param classes: the names of several classes, in the order of their probabilities; () if there are none
    :param has_interval: whether the graph answers a number with the bounds of its interval
    """

    graph: bytes
    columns: Columns
    request: Mapping[str, tuple[str, bool]]
    lookups: Mapping[str, tuple[Lookup, Sequence[str]]]
    files: Mapping[str, str]
    known: Mapping[str, frozenset[str]]
    golden: pa.Table
    answers: Sequence[float | Sequence[float]]
    spread: float
    onnxruntime: str
    row_key: Sequence[str]
    classes: Sequence[str] = ()
    has_interval: bool = False


def make_scorer(closed: Scorer) -> Callable[[Batches], Batches]:
    """
    Return a function of batches of rows that yields row key, prediction, fields never seen, and a problem in place of scores.

    Each task first asks the golden requests, by the same function as the rows.
    """

    def score_batches(batches: Batches) -> Batches:
        scorer = open_files(closed)
        problem = find_wrong_golden(scorer)
        for rows in _gather(batches):
            if problem is None:
                problem = _find_unfit(scorer, rows)
            if problem is None:
                p, unseen = answer(scorer, rows)
                problem = _find_infinite(scorer, rows, p)
            if problem is not None:
                columns = {name: pa.nulls(1, rows[name].type) for name in scorer.row_key}
                lost = {name: pa.nulls(1, column.type) for name, column in _predictions(scorer, scorer.answers).items()}
                yield _to_batch({**columns, **lost, UNSEEN: pa.array([""]), PROBLEM: [problem]})
                return
            scores = {**_predictions(scorer, p), UNSEEN: unseen, PROBLEM: pa.nulls(rows.num_rows, pa.string())}
            yield _to_batch({**{name: rows[name] for name in scorer.row_key}, **scores})

    return score_batches


def _predictions(scorer: Scorer, p: ArrayLike) -> dict[str, pa.Array]:
    """Return the columns of some predictions: of several classes all probabilities, and the likeliest class."""
    values = np.asarray(p, dtype=np.float32)
    if scorer.has_interval:
        return {name: pa.array(column) for name, column in zip((PREDICTION, *BOUNDS), values.T, strict=True)}
    columns = {PREDICTION: to_column(values)}
    if scorer.classes:
        columns[CLASS] = pa.array(np.asarray(scorer.classes, dtype=object)[values.argmax(axis=1)], pa.string())
    return columns


def open_files(scorer: Scorer) -> Scorer:
    """Map the files of large lookups, so that the workers of a machine share one copy of them."""
    if not scorer.files:
        return scorer
    from pyspark import SparkFiles

    lookups = dict(scorer.lookups)
    for name, file in scorer.files.items():
        lookup, values = lookups[name]
        with open(SparkFiles.get(file), "rb") as opened:
            rows, *seen = open_tables(map_file(opened), f"lookup {name!r}", lookup.fields, values)
        lookups[name] = replace(lookup, rows=rows, seen=tuple(seen)), values
    return replace(scorer, lookups=lookups)


def find_wrong_golden(scorer: Scorer) -> str | None:
    """Return why this worker does not give the release's golden answers, or None."""
    # As this package does where it is installed: ONNX Runtime reads this on import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    if onnxruntime.__version__ != scorer.onnxruntime:
        return f"the worker has ONNX Runtime {onnxruntime.__version__}, expected {scorer.onnxruntime}"
    p, _ = answer(scorer, scorer.golden)
    expected = np.array(scorer.answers)
    is_close = np.abs(p - expected) <= TOLERANCE * scorer.spread + ROUNDING * np.abs(expected)
    wrong = np.unique(np.nonzero(~is_close)[0])
    if not len(wrong):
        return None
    first = int(wrong[0])
    return f"{len(wrong)} of {len(p)} golden answers differ; golden record {first}: {p[first]}, expected {scorer.answers[first]}"


def answer(scorer: Scorer, rows: pa.Table) -> tuple[NDArray[np.float32], pa.Array]:
    """Return the prediction for each row, and as one text the fields whose values the model has never seen."""
    rows = rows.combine_chunks()
    texts = {name: _encode(rows, name) for name in scorer.columns.texts}
    never: list[tuple[Places, list[tuple[str, ...]]]] = []
    for name, (lookup, values) in scorer.lookups.items():
        keys, places = _distinct_keys([texts[field] for field in lookup.fields])
        held = [lookup.rows.get(key) for key in keys]
        found = np.array([lookup.unseen if row is None else row for row in held], dtype=np.float64).reshape(len(keys), -1)
        for at, value in enumerate(values):
            rows = rows.append_column(f"{name}__{value}", pa.array(found[places, at]))
        # A key with a null does not count as unseen.
        unseen = [
            () if row is not None or not all(_parts(key)) else lookup.unseen_fields(key)
            for key, row in zip(keys, held, strict=True)
        ]
        never.append((places, unseen))
    for name, known in scorer.known.items():
        words, codes = texts[name]
        never.append((codes, [(name,) if word and word not in known else () for word in words]))
    # Of the inputs, scoring reads only these columns. The class itself, which validates YAML, is not sent to workers.
    inputs = cast("Inputs", scorer.columns)
    return answer_rows(scorer.graph, rows, inputs), _join_unseen(never, rows.num_rows)


def _gather(batches: Batches) -> Iterator[pa.Table]:
    """Yield the rows of several batches as one table."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _encode(rows: pa.Table, name: str) -> tuple[list[str], Places]:
    """Return the distinct texts of a column, with an empty one for null, and the place of each row's text among them."""
    words, places = encode_texts(rows, name)
    return [word or "" for word in words], places


def _distinct_keys(fields: Sequence[tuple[list[str], Places]]) -> tuple[Sequence[Key], Places]:
    """Return the distinct keys of some rows as a lookup stores them, and the place of each row's key among them."""
    if len(fields) == 1:
        return fields[0]
    keys: list[tuple[str, ...]] = [()]
    places: Places = np.zeros(len(fields[0][1]), dtype=np.int64)
    for words, codes in fields:
        pairs, places = np.unique(places * len(words) + codes, return_inverse=True)
        keys = [(*keys[pair // len(words)], words[pair % len(words)]) for pair in pairs.tolist()]
    return keys, places


def _parts(key: str | tuple[str, ...]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


def _join_unseen(never: Sequence[tuple[Places, list[tuple[str, ...]]]], rows: int) -> pa.Array:
    """Return for each row the names of its fields that were never seen, each once, separated by commas."""
    unseen = np.full(rows, "", dtype=object)
    marked = [np.array([bool(names) for names in lists])[places] for places, lists in never]
    for row in np.flatnonzero(np.any(marked, axis=0)) if marked else ():
        unseen[row] = ",".join(dict.fromkeys(chain.from_iterable(lists[places[row]] for places, lists in never)))
    return pa.array(unseen, pa.string())


def _find_unfit(scorer: Scorer, rows: pa.Table) -> str | None:
    """Return the first field with a value that the model server would refuse, or None."""
    for name, (kind, nullable) in scorer.request.items():
        column = rows[name]
        if not nullable:
            missing = pc.equal(column, "") if kind == "category" else pc.is_null(column, nan_is_null=True)
            if (problem := _describe(scorer, rows, pc.fill_null(missing, True), f"{name} is null")) is not None:
                return problem
        outside = _is_outside(column, kind)
        if outside is not None and (problem := _describe(scorer, rows, outside, f"{name} is out of range")) is not None:
            return problem
    return None


def _is_outside(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray | None:
    if kind == "number":
        return pc.greater(pc.abs(column), MAX_NUMBER)
    if kind == "category":
        return pc.greater(pc.utf8_length(column), MAX_TEXT)
    bounds = {"time": (0, MAX_MINUTE), "date": (MIN_DATE, MAX_DATE)}.get(kind)
    return None if bounds is None else pc.or_(pc.less(column, bounds[0]), pc.greater(column, bounds[1]))


def _find_infinite(scorer: Scorer, rows: pa.Table, p: NDArray[np.float32]) -> str | None:
    infinite = ~np.isfinite(p).reshape(len(p), -1).all(axis=1)
    return _describe(scorer, rows, pa.chunked_array([infinite]), "the model's answer is not a finite number")


def _describe(scorer: Scorer, rows: pa.Table, broken: pa.ChunkedArray, fault: str) -> str | None:
    """Return a fault with the key of the first row that has it; None if no row has it."""
    place = pc.index(broken, True).as_py()
    if place < 0:
        return None
    return f"row {', '.join(f'{name}={rows[name][place].as_py()}' for name in scorer.row_key)}: {fault}"


def _to_batch(columns: Mapping[str, object]) -> pa.RecordBatch:
    (batch,) = pa.table(dict(columns)).combine_chunks().to_batches()
    return batch
