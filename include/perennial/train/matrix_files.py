"""The matrix of a window on scratch disk, computed once, in the buckets of the window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from perennial.models.metrics import Labels
from perennial.models.scoring import SLICE_ROWS
from perennial.train.matrix import Matrix
from perennial.train.scratch import Scratch
from perennial.train.views import View, ViewGraph
from perennial.train.window import Records, Window

PART_ROWS = 16_384
"""Rows in memory at once for a family that only adds sums over rows."""

SOME_ROWS = 2 * PART_ROWS
"""Rows by which a family compares parameters: more rows rarely change the choice, and cost more than the training itself."""


class Part(NamedTuple):
    """
    Some rows of a window, and their labels as `Target` scales them.

    :param late: whether a row is of the last dates of the window
    """

    rows: Matrix
    y: Labels
    late: NDArray[np.bool_]

    def where(self, chosen: NDArray[np.bool_]) -> Part:
        """Return the chosen rows."""
        rows = Matrix(self.rows.columns[chosen], self.rows.codes[chosen], self.rows.sizes)
        return Part(rows, self.y[chosen], self.late[chosen])


@dataclass(frozen=True, slots=True)
class MatrixFiles:
    """
    The rows of a window as a candidate sees them, one bucket at a time.

    :param amounts: the number of columns that hold any number; the columns after them hold 0 and 1, one byte each
    :param columns: the number of columns
    :param sizes: the number of classes of each code
    :param categories: the number of classes of each category whose places the last columns hold
    :param names: the names of the columns and of the codes after them
    """

    window: Window
    amounts: int
    columns: int
    sizes: tuple[int, ...]
    categories: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return self.window.rows

    @property
    def bucket_rows(self) -> list[int]:
        """Return the number of rows of each bucket."""
        return self.window.bucket_rows

    def read(self) -> Iterator[Part]:
        """Yield the rows in order, at most PART_ROWS at once."""
        for bucket in range(self.window.buckets):
            with self._path(bucket).open("rb") as file:
                while len(records := np.fromfile(file, _record(self), PART_ROWS)):
                    yield self._part(records)

    def read_some(self) -> Iterator[Part]:
        """Yield the first SOME_ROWS rows, a random sample of the window: rows are in the order of their hashes."""
        return islice(self.read(), SOME_ROWS // PART_ROWS)

    def read_bucket(self, bucket: int) -> Part:
        """Return the rows of a bucket."""
        return self._part(np.fromfile(self._path(bucket), _record(self)))

    def read_whole(self) -> Part:
        """Return all rows at once, with their codes as the last columns, for a library that cannot learn from a part of them."""
        columns = np.empty((self.rows, self.columns + len(self.sizes)), dtype=np.float32)
        y, late = np.empty(self.rows, dtype=_label_type(self)), np.empty(self.rows, dtype=np.bool_)
        done = 0
        for part in self.read():
            some = slice(done, done + len(part.y))
            columns[some], y[some], late[some] = part.rows.as_floats(), part.y, part.late
            done = some.stop
        return Part(Matrix(columns, np.empty((self.rows, 0), dtype=np.int32), ()), y, late)

    def copy(self, choose: Callable[[Labels], NDArray[np.int64]]) -> MatrixFiles:
        """
        Return a few rows of the first bucket in files of their own.

        :param choose: returns their places from the labels of the bucket
        """
        records = np.fromfile(self._path(0), _record(self))
        records = records[choose(records["y"])]
        scratch = Scratch(Path(mkdtemp(dir=self.window.scratch.folder)))
        copied = replace(self, window=replace(self.window, scratch=scratch, bucket_rows=[len(records)]))
        scratch.save(copied._path(0), records)
        return copied

    def _path(self, bucket: int) -> Path:
        return self.window.scratch.folder / f"{bucket}.matrix"

    def _part(self, records: Records) -> Part:
        columns = np.empty((len(records), self.columns), dtype=np.float32)
        columns[:, : self.amounts] = records["amounts"]
        columns[:, self.amounts :] = records["flags"]
        rows = Matrix(columns, np.ascontiguousarray(records["codes"]), self.sizes)
        return Part(rows, np.ascontiguousarray(records["y"]), np.ascontiguousarray(records["late"]))


def store_matrix(window: Window, view: View) -> MatrixFiles:
    """Compute a view of a window with its graph, and write it beside the window's files, in place of another view."""
    graph = ViewGraph(view)
    window.scratch.clear("*.matrix", "*.cells")
    stored = MatrixFiles(window, view.amounts, view.width, graph.sizes, view.categories, view.names)
    window.scratch.check("its matrix", window.rows, _record(stored).itemsize)
    for index, bucket in enumerate(window.read()):
        records = np.empty(len(bucket.y), dtype=_record(stored))
        records["y"], records["late"] = window.target.scale(bucket.y), bucket.late
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
    columns = [("amounts", "<f4", (amounts,)), ("flags", "u1", (flags,)), ("codes", "<i4", (codes,))]
    return np.dtype([*columns, ("y", _label_type(files)), ("late", "?")])


def _label_type(files: MatrixFiles) -> str:
    """Return numpy's type of labels as `Target.scale` returns them."""
    return "i1" if files.window.target.is_classes else "<f4"
