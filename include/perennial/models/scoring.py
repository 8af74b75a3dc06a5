"""Score rows of the features table: convert them to the input arrays of a model, and run its graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = NDArray[np.float32]
Texts = NDArray[np.object_]
Probabilities = NDArray[np.float64]


def in_order(table: pa.Table, row_key: Sequence[str]) -> pa.Table:
    """Sort rows by (date, row key), nulls last, so that the order does not depend on the writer's files and threads."""
    names = dict.fromkeys(["date", *row_key])
    return table.sort_by([(name, "ascending") for name in names]).combine_chunks()


def to_arrays(table: pa.Table, inputs: Inputs) -> tuple[Numbers, Texts]:
    """
    Convert rows to the two inputs of the graph: numbers [rows, Inputs.numbers] and texts [rows, Inputs.texts].

    A null number becomes NaN, a null text "". A date becomes days since 1970-01-01, a time minutes since midnight.
    """
    missing = [name for name in [*inputs.numbers, *inputs.texts] if name not in table.column_names]
    if missing:
        raise RefusedError(
            "The features lack columns that the model needs", missing, "Run analyse again with the model's pipeline.yaml."
        )
    numbers = np.empty((table.num_rows, len(inputs.numbers)), dtype=np.float32)
    for index, name in enumerate(inputs.numbers):
        numbers[:, index] = _number(table, name)
    texts = np.empty((table.num_rows, len(inputs.texts)), dtype=object)
    for index, name in enumerate(inputs.texts):
        texts[:, index] = ["" if text is None else text for text in table.column(name).to_pylist()]
    return numbers, texts


def score(model: bytes, table: pa.Table, inputs: Inputs) -> Probabilities:
    """Return the probability of each row of a features table, computed by the same graph that serves."""
    return score_arrays(model, *to_arrays(table, inputs))


def score_arrays(model: bytes, numbers: Numbers, texts: Texts) -> Probabilities:
    """Return the probability of each row of the graph's input arrays."""
    return np.asarray(run_graph(model, "probability", numbers, texts), dtype=np.float64)


def run_graph(model: bytes, output: str, numbers: Numbers, texts: Texts) -> Numbers:
    """Run a graph over `numbers` and `texts` and return one output. One thread, so that every machine adds in the same order."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], {"numbers": numbers, "texts": texts})[0], dtype=np.float32)


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
