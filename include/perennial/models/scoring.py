"""Score rows of the features table: convert them to the input arrays of a model, and run its graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.config.answers import INTERVAL
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.metrics import Floats

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = NDArray[np.float32]
Texts = NDArray[np.object_]

SLICE_ROWS = 10_000
"""
Rows that a graph gets at once. The result has the same bits with any number.

Smaller slices cost more CPU time a row. With larger ones, the graph's intermediate results leave the processor's cache:
a million rows at once take 2,500 bytes and a third more CPU time a row.
"""


def in_order(table: pa.Table, row_key: Sequence[str]) -> pa.Table:
    """Sort rows by (date, row key), nulls last, so that the order does not depend on the writer's files and threads."""
    names = dict.fromkeys(["date", *row_key])
    return table.sort_by([(name, "ascending") for name in names]).combine_chunks()


def to_arrays(table: pa.Table, inputs: Inputs) -> tuple[Numbers, Texts]:
    """
    Convert rows to the two inputs of the graph: numbers [rows, Inputs.numbers] and texts [rows, Inputs.texts].

    A null number becomes NaN, a null text "". A date becomes days since 1970-01-01, a time minutes since midnight.
    """
    numbers = number_columns(table, inputs)
    texts = np.empty((table.num_rows, len(inputs.texts)), dtype=object)
    for index, name in enumerate(inputs.texts):
        texts[:, index] = text_objects(table, name, null="")
    return numbers, texts


def number_columns(table: pa.Table, inputs: Inputs) -> Numbers:
    """Return the first input of the graph. Refuse rows that lack a column of either input."""
    missing = [name for name in [*inputs.numbers, *inputs.texts] if name not in table.column_names]
    if missing:
        raise RefusedError(
            "The features lack columns that the model needs", missing, "Run analyse again with the model's pipeline.yaml."
        )
    numbers = np.empty((table.num_rows, len(inputs.numbers)), dtype=np.float32)
    for index, name in enumerate(inputs.numbers):
        numbers[:, index] = _number(table, name)
    return numbers


def encode_texts(table: pa.Table, name: str) -> tuple[list[str | None], NDArray[np.int32]]:
    """Return the texts of a column, each once, with None as the last; and the position of each row's text among them."""
    encoded = table.column(name).dictionary_encode().unify_dictionaries().combine_chunks()
    words = [*encoded.dictionary.to_pylist(), None]
    return words, np.asarray(encoded.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False), dtype=np.int32)


def text_objects(table: pa.Table, name: str, null: str | None) -> NDArray[np.object_]:
    """Return a column of texts with `null` in place of nulls. Equal texts are one object: a text of its own takes 60 bytes."""
    words, positions = encode_texts(table, name)
    return np.array([null if word is None else word for word in words], dtype=object)[positions]


def score(model: bytes, table: pa.Table, inputs: Inputs, output: str | None = None) -> Floats:
    """
    Return the prediction for each row, [rows] or [rows, classes], computed by the same graph that serves.

    :param output: another output of the graph
    """
    return _in_slices(Graph(model, output).run, table, inputs).astype(np.float64)


def answer_rows(model: bytes, table: pa.Table, inputs: Inputs) -> Numbers:
    """Return the answers of a model server for each row: the prediction, or [rows, 3] with the bounds of its interval."""
    return _in_slices(Graph(model).answer, table, inputs)


def _in_slices(run: Callable[[Numbers, Texts], Numbers], table: pa.Table, inputs: Inputs) -> Numbers:
    # A table without rows is one slice without rows: its columns are checked too.
    slices = [table.slice(begin, SLICE_ROWS) for begin in range(0, max(table.num_rows, 1), SLICE_ROWS)]
    return np.concatenate([run(*to_arrays(rows, inputs)) for rows in slices])


def to_column(p: NDArray[np.floating[Any]]) -> pa.Array:
    """Return predictions as a column: a number a row, or a list of the probabilities of all classes."""
    import pyarrow as pa

    values = pa.array(np.ascontiguousarray(p).ravel(), pa.from_numpy_dtype(p.dtype))
    return values if p.ndim == 1 else pa.FixedSizeListArray.from_arrays(values, p.shape[1]).cast(pa.list_(values.type))


def from_column(column: pa.ChunkedArray, shape: tuple[int, ...]) -> Floats:
    """
    Return the predictions of a column, [rows, *shape].

    :raises ValueError: a row has another number of predictions
    """
    import pyarrow.compute as pc

    if not shape:
        return np.asarray(column.to_numpy(), dtype=np.float64)
    lists = column.combine_chunks()
    if not pc.all(pc.equal(pc.list_value_length(lists), shape[0])).as_py():
        raise ValueError(f"expected {shape[0]} predictions in each row")
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64).reshape(len(lists), *shape)


class Graph:
    """
    A graph in ONNX Runtime, and one of its outputs. It has one thread, so that every machine adds in the same order.

    :param output: the name of the output; None: the first one
    """

    def __init__(self, model: bytes, output: str | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        outputs = [item.name for item in self._session.get_outputs()]
        self.output = output or outputs[0]
        self.has_interval = INTERVAL in outputs

    def run(self, numbers: Numbers, texts: Texts) -> Numbers:
        """Return the output for some rows."""
        rows = len(numbers)
        first = self._run(numbers[:SLICE_ROWS], texts[:SLICE_ROWS])
        if rows <= SLICE_ROWS:
            return first
        result = np.empty((rows, *first.shape[1:]), dtype=np.float32)
        result[:SLICE_ROWS] = first
        for begin in range(SLICE_ROWS, rows, SLICE_ROWS):
            part = slice(begin, begin + SLICE_ROWS)
            result[part] = self._run(numbers[part], texts[part])
        return result

    def answer(self, numbers: Numbers, texts: Texts) -> Numbers:
        """
        Return the answers of a model server: the output, and beside it the bounds of the interval if the graph has one.

        The graph gets all rows at once.
        """
        if not self.has_interval:
            return self.run(numbers, texts)
        found, bounds = self._session.run([self.output, INTERVAL], {"numbers": numbers, "texts": texts})
        return np.hstack([found[:, None], bounds]).astype(np.float32)

    def _run(self, numbers: Numbers, texts: Texts) -> Numbers:
        found = self._session.run([self.output], {"numbers": numbers, "texts": texts})
        return np.asarray(found[0], dtype=np.float32)


def _number(table: pa.Table, name: str) -> Numbers:
    import pyarrow as pa

    column = table.column(name)
    # Arrow cannot cast dates or booleans to floats in one step.
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # a value too large for 32 bits becomes infinite; training refuses that and names the column
        return np.asarray(values, dtype=np.float32)
