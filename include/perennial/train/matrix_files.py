"""The matrix of a window on scratch disk, computed once, in the buckets of the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.models.scoring import SLICE_ROWS
from perennial.train.matrix import Matrix
from perennial.train.preprocess import MatrixGraph, Preprocessing
from perennial.train.window import Window


@dataclass(frozen=True, slots=True)
class MatrixFiles:
    """
    The rows of a window as a candidate sees them, one bucket at a time.

    :param amounts: the number of columns that hold any number; the columns after them hold 0 and 1, one byte each
    :param columns: the number of columns
    :param sizes: the number of classes of each code
    """

    window: Window
    amounts: int
    columns: int
    sizes: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return self.window.rows

    @property
    def bucket_rows(self) -> list[int]:
        """Return the number of rows of each bucket."""
        return self.window.bucket_rows

    def read(self) -> Iterator[tuple[Matrix, NDArray[np.int8]]]:
        """Yield the rows and the labels of all buckets in order."""
        return map(self.read_bucket, range(self.window.buckets))

    def read_bucket(self, bucket: int) -> tuple[Matrix, NDArray[np.int8]]:
        """Return the rows of a bucket, and their labels."""
        records = np.fromfile(self.window.scratch.folder / f"{bucket}.matrix", dtype=_record(self))
        columns = np.empty((len(records), self.columns), dtype=np.float32)
        columns[:, : self.amounts] = records["amounts"]
        columns[:, self.amounts :] = records["flags"]
        return Matrix(columns, np.ascontiguousarray(records["codes"]), self.sizes), np.ascontiguousarray(records["y"])


def store_matrix(window: Window, fitted: Preprocessing) -> MatrixFiles:
    """Compute the matrix of a window with the graph, and write it beside the window's files."""
    graph = MatrixGraph(window.inputs, fitted)
    stored = MatrixFiles(window, len(fitted.means), fitted.width, graph.sizes)
    window.scratch.check("its matrix", window.rows, _record(stored).itemsize)
    for index, bucket in enumerate(window.read()):
        records = np.empty(len(bucket.y), dtype=_record(stored))
        records["y"] = bucket.y
        for begin in range(0, len(bucket.y), SLICE_ROWS):
            some = slice(begin, begin + SLICE_ROWS)
            matrix = graph.of(bucket.numbers[some], bucket.texts[some])
            records["amounts"][some] = matrix.columns[:, : stored.amounts]
            records["flags"][some] = matrix.columns[:, stored.amounts :]
            records["codes"][some] = matrix.codes
        window.scratch.save(window.scratch.folder / f"{index}.matrix", records)
    return stored


def _record(files: MatrixFiles) -> np.dtype[Any]:
    amounts, flags, codes = files.amounts, files.columns - files.amounts, len(files.sizes)
    return np.dtype([("amounts", "<f4", (amounts,)), ("flags", "u1", (flags,)), ("codes", "<i4", (codes,)), ("y", "i1")])
