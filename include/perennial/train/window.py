"""
The rows of a training's window, in buckets on scratch disk: memory holds one bucket at a time.

A row's bucket is given by the first bits of the hash of its date and row key, and the rows of a bucket are ordered by that hash.
In a sample the hash is spread over all values, so that its buckets are as large as those of all rows.
So the files, batches and threads of writer and reader decide nothing, and each bucket is a random sample of the window.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.config.label import Label
from perennial.config.pipeline import Inputs
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.models.metrics import Floats, Labels
from perennial.models.scoring import Numbers, Texts, encode_texts, number_columns
from perennial.tasks.task import task_of
from perennial.train.sampling import ALL_ROWS, Bounds
from perennial.train.scratch import Scratch
from perennial.train.target import Target, count_classes, find_target

if TYPE_CHECKING:
    import pyarrow as pa

BUCKET_ROWS = 131_072
"""Rows of a bucket at most, on average."""

Records = NDArray[np.void]


def count_buckets(rows: int) -> int:
    """
    Return the number of buckets of a window, a power of two.

    It is a function of the number of rows alone, because it decides the order in which a training sees them.
    """
    return 1 << (max(rows - 1, 0) // BUCKET_ROWS).bit_length()


@dataclass(frozen=True, slots=True)
class Bucket:
    """
    Some rows of a window: the two inputs of the graph, and the labels.

    :param late: whether a row is of the last dates of the window, on which a family may compare its own parameters
    """

    numbers: Numbers
    texts: Texts
    y: Labels
    late: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Window:
    """
    The rows of a window on scratch disk.

    :param bucket_rows: the number of rows of each bucket
    :param target: the labels as a family learns them
    :param words: by text input, its texts, sorted; the code of a text is its place
    :param counts: by text input, the number of rows of each of its texts; "" is null
    :param empty: the inputs that are null in all rows
    :param log_odds: the logarithm by which the odds of a positive row are higher here than among all rows of the window's dates
    """

    scratch: Scratch
    inputs: Inputs
    bucket_rows: list[int]
    target: Target
    words: list[list[str]]
    counts: Mapping[str, Mapping[str, int]]
    empty: list[str]
    log_odds: float = 0.0

    @property
    def buckets(self) -> int:
        """Return the number of buckets."""
        return len(self.bucket_rows)

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(self.bucket_rows)

    def read(self) -> Iterator[Bucket]:
        """Yield all buckets in order, each with its rows in the order of their hashes."""
        words = [np.array(known, dtype=object) for known in self.words]
        for bucket in range(self.buckets):
            records = np.fromfile(_path(self.scratch, bucket), dtype=record_type(self.inputs, self.target.label))
            texts = np.empty(records["codes"].shape, dtype=object)
            for place, known in enumerate(words):
                texts[:, place] = known[records["codes"][:, place]]
            y, late = np.ascontiguousarray(records["y"]), np.ascontiguousarray(records["late"])
            yield Bucket(np.ascontiguousarray(records["numbers"]), texts, y, late)

    def mean_labels(self) -> dict[str, dict[str, Floats]]:
        """
        Return by text input the mean label of the rows of each of its texts; "" is null.

        A mean is one number, or of several classes the share of each that the window has.
        """
        target = self.target
        sums = [np.zeros((len(known), target.outputs)) for known in self.words]
        for bucket in range(self.buckets):
            records = np.fromfile(_path(self.scratch, bucket), dtype=record_type(self.inputs, target.label))
            y = target.scale(records["y"]) if target.present else records["y"]
            for column in range(target.outputs):
                weights = y == column if target.present else y
                for place, found in enumerate(sums):
                    found[:, column] += np.bincount(records["codes"][:, place], weights=weights, minlength=len(found))
        return {
            name: {
                word: total / self.counts[name][word]
                for word, total in zip(known, found, strict=True)
                if word in self.counts[name]
            }
            for name, known, found in zip(self.inputs.texts, self.words, sums, strict=True)
        }


class WindowWriter:
    """
    Writes the rows of a window to the files of their buckets.

    :param scratch: it has an empty folder
    :param rows: the number of rows that the window is expected to have
    :param bounds: the rows to choose from those that are added
    :param late: the first of the last dates; None: no date is one of them
    """

    def __init__(
        self,
        scratch: Scratch,
        inputs: Inputs,
        label: Label,
        rows: int,
        bounds: Bounds = ALL_ROWS,
        late: date | None = None,
    ) -> None:
        self._scratch = scratch
        self._inputs = inputs
        self._label = label
        self._bounds = bounds
        self._late = late
        scratch.check("the window", rows, record_type(inputs, label).itemsize)
        buckets = count_buckets(rows)
        self._classes = np.zeros(count_classes(label), dtype=np.int64)
        self._shift = SAMPLE_BITS - (buckets.bit_length() - 1)
        self._codes = [{"": 0} for _ in inputs.texts]
        self._counts = [np.zeros(1, dtype=np.int64) for _ in inputs.texts]
        self._has_number = np.zeros(len(inputs.numbers), dtype=bool)
        self._bucket_rows = np.zeros(buckets, dtype=np.int64)
        _allow_open_files(buckets)
        self._files: list[IO[bytes]] = [scratch.create(_path(scratch, bucket)) for bucket in range(buckets)]

    def add(self, table: pa.Table) -> None:
        """Write those of the rows of the features table that the bounds choose, with their labels, in any order."""
        task = task_of(self._label)
        y = task.read_labels(table)
        task.check_range(y)
        hashes = table[SAMPLE].to_numpy()
        if self._bounds != ALL_ROWS:
            chosen = self._bounds.choose(hashes, y)
            table, y = table.filter(chosen), y[chosen]
            hashes = self._bounds.spread(hashes[chosen], y)
        records = np.empty(table.num_rows, dtype=record_type(self._inputs, self._label))
        records["hash"] = hashes
        records["y"] = y
        records["late"] = self._find_late(table)
        records["numbers"] = number_columns(table, self._inputs)
        self._has_number |= ~np.isnan(records["numbers"]).all(axis=0)
        for place, name in enumerate(self._inputs.texts):
            records["codes"][:, place] = self._encode(table, place, name)
        if len(self._classes):
            self._classes += np.bincount(y, minlength=len(self._classes))
        bucket = records["hash"] >> self._shift
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(len(self._files) + 1))
        records = records[order]
        for index, file in enumerate(self._files):
            self._scratch.append(file, records[ends[index] : ends[index + 1]])
        self._bucket_rows += np.diff(ends)

    def finish(self) -> Window:
        """Sort each bucket and return the window."""
        for file in self._files:
            file.close()
        self._merge()
        for bucket in range(len(self._files)):
            self._sort(bucket)
        counts = {
            name: {text: int(found[code]) for text, code in codes.items() if found[code]}
            for name, codes, found in zip(self._inputs.texts, self._codes, self._counts, strict=True)
        }
        empty = [name for name, has in zip(self._inputs.numbers, self._has_number, strict=True) if not has]
        empty += [name for name, found in counts.items() if found.keys() <= {""}]
        words = [sorted(codes) for codes in self._codes]
        rows, log_odds = self._bucket_rows.tolist(), self._bounds.log_odds
        target = find_target(self._label, self._classes.tolist(), sum(rows), self._read_labels)
        return Window(self._scratch, self._inputs, rows, target, words, counts, empty, log_odds)

    def _merge(self) -> None:
        """Merge neighbouring buckets if there are fewer rows than expected, as when most of them have no label yet."""
        wanted = count_buckets(int(self._bucket_rows.sum()))
        each = len(self._files) // wanted
        if each <= 1:
            return
        kind = record_type(self._inputs, self._label)
        for bucket in range(wanted):
            parts = [_path(self._scratch, part) for part in range(bucket * each, (bucket + 1) * each)]
            records = np.concatenate([np.fromfile(part, dtype=kind) for part in parts])
            for part in parts:
                self._scratch.delete(part)
            self._scratch.save(_path(self._scratch, bucket), records)
        self._files = self._files[:wanted]
        self._bucket_rows = self._bucket_rows.reshape(wanted, each).sum(axis=1)

    def _read_labels(self) -> Iterator[Labels]:
        for bucket in range(len(self._bucket_rows)):
            yield np.fromfile(_path(self._scratch, bucket), dtype=record_type(self._inputs, self._label))["y"]

    def _sort(self, bucket: int) -> None:
        """Sort the rows of a bucket, and give each text its place among the sorted texts as its code."""
        path = _path(self._scratch, bucket)
        records = np.fromfile(path, dtype=record_type(self._inputs, self._label))
        for place, codes in enumerate(self._codes):
            ranks = np.empty(len(codes), dtype=np.uint32)
            ranks[[codes[text] for text in sorted(codes)]] = np.arange(len(codes), dtype=np.uint32)
            records["codes"][:, place] = ranks[records["codes"][:, place]]
        self._scratch.save(path, _in_order(records))

    def _find_late(self, table: pa.Table) -> NDArray[np.bool_] | bool:
        return False if self._late is None else table["date"].to_numpy() >= np.datetime64(self._late)

    def _encode(self, table: pa.Table, place: int, name: str) -> NDArray[np.uint32]:
        """Return the codes of a column of texts. A new text gets the next code."""
        known = self._codes[place]
        words, positions = encode_texts(table, name)
        codes = np.array([known.setdefault(word or "", len(known)) for word in words], dtype=np.uint32)
        found: NDArray[np.uint32] = codes[positions]
        counts = np.bincount(found, minlength=len(known))
        counts[: len(self._counts[place])] += self._counts[place]
        self._counts[place] = counts
        return found


def record_type(inputs: Inputs, label: Label) -> np.dtype[Any]:
    """Return the type of a row on disk."""
    columns = [("numbers", "<f4", (len(inputs.numbers),)), ("codes", "<u4", (len(inputs.texts),))]
    return np.dtype([("hash", "<u4"), ("y", task_of(label).label_type), ("late", "?"), *columns])


def _path(scratch: Scratch, bucket: int) -> Path:
    return scratch.folder / f"{bucket}.rows"


def _in_order(records: Records) -> Records:
    """Sort records by hash, and those of one hash by their content: equal records are interchangeable."""
    records = records[np.argsort(records["hash"], kind="stable")]
    begins = np.flatnonzero(np.diff(records["hash"], prepend=records["hash"][:1] + 1, append=records["hash"][-1:] + 1))
    for index in np.flatnonzero(np.diff(begins) > 1):
        some = slice(begins[index], begins[index + 1])
        records[some] = np.array(sorted(records[some], key=lambda record: record.tobytes()), dtype=records.dtype)
    return records


def _allow_open_files(buckets: int) -> None:
    """Raise the limit of open files of this process, which is often 1,024, for a window of many buckets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = buckets + 256
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))
