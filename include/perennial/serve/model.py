"""A model ready to answer: the graph in ONNX Runtime, its inputs and its lookups."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from perennial.config.answers import BOUNDS, INTERVAL
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.serve.limits import Limits
from perennial.serve.lookups import Lookup
from perennial.serve.records import RecordReader
from perennial.serve.refusal import Refusal
from perennial.store.json_value import JsonValue

_NONE: tuple[str, ...] = ()
OUTPUTS = ("probability", "probabilities", "value")
"""The names of the outputs of graphs: a probability, those of several classes, or a number in the unit of the label."""

_NUMBER_BYTES, _DIGITS, _COPIES = 40, 26, 3
"""
Upper bounds of one probability of several: the bytes of a number in a list, and the characters of its text beside its name.

The text of an answer is there three times at once: of a record, of all of them, and as bytes.
"""

_ROWS = 2_000
"""Rows that the graph computes at once: its memory grows with them, and its speed no longer does."""


@dataclass(frozen=True, slots=True)
class Answers:
    """
    One prediction a record, and the fields of each record whose values the model has never seen.

    :param predictions: numbers; or lists of the probabilities of all classes, or of a number and the bounds of its interval
    """

    predictions: list[Any]
    unseen: list[tuple[str, ...]]


class Model:
    """Answers records. Immutable after construction, and safe to use from several threads."""

    def __init__(self, graph: bytes, inputs: Inputs, lookups: dict[str, Lookup], limits: Limits) -> None:
        """Open the graph (already verified against its digest) and check that it takes the declared inputs."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        self._session = _open(graph, options)
        self.inputs = inputs
        self._takes, self.output = _check_signature(self._session, inputs)
        self.numbers = (self.output, *BOUNDS) if any(item.name == INTERVAL for item in self._session.get_outputs()) else ()
        """The names of a number and of the bounds of its interval; empty without an interval."""

        self.classes: list[str] = read_metadata(self._session, "classes", [])
        self.answer_bytes = sum(_NUMBER_BYTES + _COPIES * (len(json.dumps(name)) + _DIGITS) for name in self.classes)
        """Upper bound of the memory that the probabilities of one record take, beyond that of one number."""
        self._lookups = [lookups[name] for name in sorted(inputs.lookups)]  # as in inputs.numbers
        self._reader = RecordReader(inputs, limits)
        self._known = known_categories(self._session, inputs)

    def answer(self, records: JsonValue) -> Answers:
        """Return the answers to records as parsed from JSON. Raise Refusal if they do not fit the inputs."""
        numbers, texts = self._reader.read(records)
        unseen = [self._complete(number, text) for number, text in zip(numbers, texts, strict=True)]
        parts = [self._run(numbers[at : at + _ROWS], texts[at : at + _ROWS]) for at in range(0, len(numbers), _ROWS)]
        predictions = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if not np.isfinite(predictions).all():
            index = int(np.nonzero(~np.isfinite(predictions))[0][0])
            raise Refusal(422, f"record {index}: the model cannot answer these values, its result is not a finite number")
        return Answers(predictions.tolist(), unseen)

    def likeliest(self, prediction: list[float]) -> str:
        """Return the class with the highest probability, the first of equal ones."""
        return self.classes[prediction.index(max(prediction))]

    def _run(self, numbers: list[list[float]], texts: list[list[str]]) -> NDArray[np.float32]:
        feed: dict[str, NDArray[np.float32] | NDArray[np.object_]] = {}
        if "numbers" in self._takes:
            feed["numbers"] = np.array(numbers, dtype=np.float32).reshape(len(numbers), -1)
        if "texts" in self._takes:
            feed["texts"] = np.array(texts, dtype=object).reshape(len(texts), -1)
        predictions: NDArray[np.float32]
        if self.numbers:
            predictions, bounds = self._session.run([self.output, INTERVAL], feed)
            return np.hstack([predictions.reshape(-1, 1), bounds])
        (predictions,) = self._session.run([self.output], feed)
        return predictions if self.classes else predictions.ravel()

    def _complete(self, numbers: list[float], texts: list[str]) -> tuple[str, ...]:
        """Append the values of the lookups to a row, and return the fields that were never seen."""
        unseen: list[str] | None = None
        for lookup in self._lookups:
            key = lookup.key_of(texts)
            row = lookup.rows.get(key)
            if row is None:
                row = lookup.unseen
                if key and (type(key) is str or all(key)):  # a null key does not count as unseen
                    unseen = [*(unseen or ()), *lookup.unseen_fields(key)]
            numbers += row
        for at, name, known in self._known:
            if texts[at] and texts[at] not in known:
                unseen = [*(unseen or ()), name]
        return _NONE if unseen is None else tuple(dict.fromkeys(unseen))


def _open(graph: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise RefusedError(
            f"model.onnx cannot be opened ({type(error).__name__})",
            [str(error)[:500]],
            "If a newer version wrote it, upgrade the server.",
        ) from error


def _check_signature(session: onnxruntime.InferenceSession, inputs: Inputs) -> tuple[frozenset[str], str]:
    """Return the names of the graph's inputs and of its output. Raise RefusedError if it does not fit the declared inputs."""
    wanted = {"numbers": ("tensor(float)", len(inputs.numbers)), "texts": ("tensor(string)", len(inputs.texts))}
    problems = []
    for tensor in session.get_inputs():
        kind, width = wanted.get(tensor.name, (None, 0))
        if kind is None:
            problems.append(f"unknown input {tensor.name!r}, expected numbers and texts")
        elif tensor.type != kind or len(tensor.shape) != 2 or (isinstance(tensor.shape[1], int) and tensor.shape[1] != width):
            problems.append(f"input {tensor.name!r} is {tensor.type} {tensor.shape}, expected {kind} [N, {width}]")
    outputs = [tensor.name for tensor in session.get_outputs() if tensor.name in OUTPUTS]
    if not outputs:
        problems.append(f"no output {' or '.join(map(repr, OUTPUTS))}")
    if problems:
        raise RefusedError("model.onnx does not fit the inputs of its release", problems)
    return frozenset(tensor.name for tensor in session.get_inputs()), outputs[0]


def known_categories(session: onnxruntime.InferenceSession, inputs: Inputs) -> list[tuple[int, str, frozenset[str]]]:
    """Return (position, field, known values) of each category that the trainer wrote into the graph's metadata, if any."""
    known = read_metadata(session, "categories", {})
    return [(at, name, frozenset(known[name])) for at, name in enumerate(inputs.texts) if name in known]


def read_metadata(session: onnxruntime.InferenceSession, name: str, missing: Any) -> Any:
    """Return what the trainer wrote into the graph under a name."""
    stored = session.get_modelmeta().custom_metadata_map.get(name)
    return missing if stored is None else json.loads(stored)
