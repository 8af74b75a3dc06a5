"""
The rows of a training's holdout on scratch disk, and their predictions: memory holds one part of a date at a time.

A part is what was read at once: all rows of a small training, else a date, or a range of the hash within a big date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.config.answers import BOUNDS
from perennial.config.pipeline import Inputs, Label
from perennial.models.metrics import Floats, Labels
from perennial.models.scoring import in_order, score, to_column
from perennial.tasks.task import task_of
from perennial.train.calibration import QUANTILES, Calibrated, calibrate
from perennial.train.graph import with_output
from perennial.train.scratch import Scratch

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in order of (date, row key), and their labels."""

    table: pa.Table
    y: Labels


def order_and_label(table: pa.Table, row_key: Sequence[str], label: Label) -> Rows:
    """Return rows in order, with their labels."""
    ordered = in_order(table, row_key)
    return Rows(ordered, task_of(label).read_labels(ordered))


@dataclass(frozen=True, slots=True)
class StoredHoldout:
    """The labelled rows of a holdout in an Arrow file; `path` is None if there are none."""

    path: Path | None
    rows: int
    label: Label

    def read(self) -> Iterator[Rows]:
        """Yield the rows of each part, in order."""
        import pyarrow as pa

        if self.path is None:
            return
        with pa.OSFile(str(self.path)) as source, pa.ipc.open_file(source) as file:
            for part in range(file.num_record_batches):
                table = pa.Table.from_batches([file.get_batch(part)])
                yield Rows(table, task_of(self.label).read_labels(table))


class HoldoutWriter:
    """Writes the rows of a holdout to scratch disk, part by part."""

    def __init__(self, scratch: Scratch, row_key: Sequence[str], label: Label) -> None:
        self._scratch = scratch
        self._path = scratch.folder / "holdout.arrow"
        self._row_key = row_key
        self._label = label
        self._rows = 0
        self._file: pa.ipc.RecordBatchFileWriter | None = None

    def add(self, table: pa.Table) -> None:
        """Write a part, in order. Its labels are checked now, before the training."""
        import pyarrow as pa

        if not table.num_rows:
            return
        ordered = order_and_label(table, self._row_key, self._label)
        task_of(self._label).check_range(ordered.y)
        rows = ordered.table
        if self._file is None:
            self._file = pa.ipc.new_file(str(self._path), rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        self._file.write_table(rows)
        self._scratch.count(self._path)
        self._rows += rows.num_rows

    def finish(self) -> StoredHoldout:
        """Return the rows."""
        if self._file is not None:
            self._file.close()
            self._scratch.count(self._path)
        return StoredHoldout(self._path if self._file is not None else None, self._rows, self._label)


@dataclass(frozen=True, slots=True)
class Predicted:
    """
    The labels and the predictions of all rows of a holdout, [rows] or [rows, classes], and the file that also has the keys.

    :param bounds: those of intervals, [rows, 2]; None: there are none
    """

    y: Labels
    p: Floats
    path: Path
    bounds: Floats | None = None


def calibrate_interval(graph: bytes, holdout: StoredHoldout, inputs: Inputs, level: float) -> Calibrated:
    """Return the intervals of a holdout that has rows, and by how much the quantiles of the graph must move."""
    asked, y, days, quantiles = with_output(graph, QUANTILES), list[Labels](), list[NDArray[Any]](), list[Floats]()
    for rows in holdout.read():
        y.append(rows.y)
        days.append(rows.table["date"].to_numpy())
        quantiles.append(score(asked, rows.table, inputs, QUANTILES))
    return calibrate(np.concatenate(y), np.concatenate(days), np.concatenate(quantiles), level)


def predict(
    graph: bytes,
    holdout: StoredHoldout,
    inputs: Inputs,
    row_key: Sequence[str],
    scratch: Scratch,
    bounds: Callable[[Floats, int], Floats] | None = None,
) -> Predicted:
    """
    Score a holdout that has rows, and write its predictions as Parquet: date, row key, y and p, part by part.

    :param bounds: returns those of intervals, [rows, 2], from the predictions of some rows and the place of the first one: the
        columns low and high
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    y: list[Labels] = []
    p: list[Floats] = []
    around: list[Floats] = []
    path = scratch.folder / "predictions.parquet"
    writer: pq.ParquetWriter | None = None
    done = 0
    for rows in holdout.read():
        y.append(rows.y)
        p.append(score(graph, rows.table, inputs))
        table = rows.table.select(list(dict.fromkeys(["date", *row_key])))
        table = table.append_column("y", pa.array(rows.y)).append_column("p", to_column(p[-1]))
        if bounds is not None:
            around.append(bounds(p[-1], done))
            for place, name in enumerate(BOUNDS):
                table = table.append_column(name, pa.array(around[-1][:, place]))
        done += table.num_rows
        writer = writer or pq.ParquetWriter(path, table.schema.remove_metadata(), compression="zstd")
        writer.write_table(table.replace_schema_metadata(None), row_group_size=table.num_rows)
        scratch.count(path)
    if writer is not None:
        writer.close()
        scratch.count(path)
    return Predicted(np.concatenate(y), np.concatenate(p), path, np.concatenate(around) if around else None)
