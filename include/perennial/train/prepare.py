"""Read one training from the features table, checked and with labels: the window in buckets on scratch disk, and the holdout."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.config.pipeline import Inputs, Label
from perennial.errors import RefusedError
from perennial.lake.labelled import Labelled, join_labels, label_columns
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.lake.tables import RowsReader, of_days, read_rows
from perennial.models.scoring import in_order
from perennial.train.job import TrainingJob
from perennial.train.labels import read_labels
from perennial.train.window import Window, WindowWriter

if TYPE_CHECKING:
    import pyarrow as pa

MAX_READ = 250_000
"""
Maximum rows that are read at once: about 250 bytes each, twice.

Up to this number, all dates are read at once. Beyond, each date is read in parts, by ranges of the hash by which it is sorted.
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in order of (date, row key), and their labels."""

    table: pa.Table
    y: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Examples:
    """
    The labelled rows of a training.

    :param unlabelled: number of rows of the features without a label; they are left out
    :param unmatched: number of labels without a row in the features; they are ignored
    """

    window: Window
    holdout: Rows
    unlabelled: int
    unmatched: int


def read_examples(job: TrainingJob, folder: Path, reader: RowsReader | None = None) -> Examples:
    """
    Return the rows of a job's window and holdout with their labels, from the tables that the job names.

    :param folder: an empty folder on scratch disk
    :param reader: it keeps the rows of few dates for the next job; None: keep nothing
    """
    features, labels = job.features, job.labels
    window = WindowWriter(folder, job.inputs, job.label, sum(features.rows[day] for day in features.window))
    found, known = Counter[date](), Counter[date]()
    holdout, unlabelled, unmatched = [], 0, 0
    for part in _read(job, reader):
        found.update(_count(part.features))
        labelled = Labelled(part.features, 0, 0)
        if part.labels is not None:
            known.update(_count(part.labels))
            labelled = join_labels(part.features, part.labels, job.row_key, job.label.column)
        window.add(of_days(labelled.table, features.window))
        holdout.append(of_days(labelled.table, features.holdout))
        unlabelled, unmatched = unlabelled + labelled.unlabelled, unmatched + labelled.unmatched
    check_rows(found, features.rows, "Features")
    if labels is not None:
        check_rows(known, labels.rows, "Labels")
    import pyarrow as pa

    rows = rows_of(pa.concat_tables(holdout), features.holdout, job.row_key, job.label)
    return Examples(window.finish(), rows, unlabelled, unmatched)


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of the features, and the rows of the same keys of the table of labels, if the job has one."""

    features: pa.Table
    labels: pa.Table | None


def _read(job: TrainingJob, reader: RowsReader | None) -> Iterator[_Part]:
    """Yield the rows of all dates of a job, at most about MAX_READ at once."""
    features, labels = job.features, job.labels
    days = [*features.window, *features.holdout]
    columns = columns_to_read(job.inputs, None if labels else job.label, job.row_key)
    labelled = label_columns(job.row_key, job.label.column)
    if sum(features.rows.values()) <= MAX_READ:
        read = reader.read if reader is not None else read_rows
        rows = read(features.metadata_location, features.snapshot_id, days, columns)
        yield _Part(rows, read(labels.metadata_location, labels.snapshot_id, days, labelled) if labels else None)
        return
    for day in days:
        for among in _ranges(features.rows[day]):
            rows = read_rows(features.metadata_location, features.snapshot_id, [day], columns, among=among)
            known = labels and read_rows(labels.metadata_location, labels.snapshot_id, [day], labelled, among=among)
            yield _Part(rows, known)


def _ranges(rows: int) -> list[tuple[int, int]]:
    """Return ranges of the hash, each with about MAX_READ of a date's rows."""
    parts = max(1, math.ceil(rows / MAX_READ))
    bounds = [(part << SAMPLE_BITS) // parts for part in range(parts + 1)]
    return list(pairwise(bounds))


def _count(table: pa.Table) -> dict[date, int]:
    """Return the number of rows of each date."""
    import pyarrow.compute as pc

    return {item["values"]: item["counts"] for item in pc.value_counts(table.column("date")).to_pylist()}


def columns_to_read(inputs: Inputs, label: Label | None, row_key: Sequence[str]) -> list[str]:
    """Return the columns of the features table that a training needs, each once, with the label if it is one of them."""
    names = ["date", *row_key, *inputs.numbers, *inputs.texts, *([label.column] if label else []), SAMPLE]
    return list(dict.fromkeys(names))


def check_rows(counts: Mapping[date, int], expected: Mapping[date, int], what: str) -> None:
    """Refuse a table in which the row count of a date differs from the count that its commit recorded."""
    wrong = [f"{day}: {counts.get(day, 0)} rows, expected {rows}" for day, rows in expected.items() if counts.get(day, 0) != rows]
    if wrong:
        raise RefusedError(
            f"{what}: the table has another number of rows than its commit recorded", wrong, "Run analyse of these dates again."
        )


def rows_of(table: pa.Table, days: Sequence[date], row_key: Sequence[str], label: Label) -> Rows:
    """Return the rows of the given dates in order."""
    rows = in_order(of_days(table, days), row_key)
    return Rows(rows, read_labels(rows, label))


def why_untrainable(examples: Examples) -> str | None:
    """Return the reason not to train: a window of one class, or a holdout without rows. None: a model can be trained."""
    if not len(examples.holdout.y):
        return (
            "the holdout has no rows with a label. Check what features.sql (and labels.sql, if it exists) selects for its dates"
        )
    positives, rows = examples.window.positives, examples.window.rows
    if 0 < positives < rows:
        return None
    found = f"{rows} rows, all of them {'positive' if positives else 'negative'}" if rows else "no rows with a label"
    return f"the training window has {found}: a model needs both classes. Check label.positive, or lengthen training.window_days"
