"""Read the window and the holdout of one training from the features table: checked, sorted, with labels 0 and 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.config.pipeline import Inputs, Label
from perennial.errors import RefusedError
from perennial.lake.labelled import Labelled, join_labels, label_columns
from perennial.lake.tables import RowsReader, of_days, read_rows
from perennial.models.scoring import in_order
from perennial.train.job import TrainingJob

if TYPE_CHECKING:
    import pyarrow as pa


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

    window: Rows
    holdout: Rows
    unlabelled: int
    unmatched: int


def read_examples(job: TrainingJob, reader: RowsReader | None = None) -> Examples:
    """
    Return the rows of a job's window and holdout with their labels, from the tables that the job names.

    :param reader: it keeps the rows for the next job; None: keep nothing
    """
    features, labels = job.features, job.labels
    read = reader.read if reader is not None else read_rows
    days = [*features.window, *features.holdout]
    columns = columns_to_read(job.inputs, None if labels else job.label, job.row_key)
    rows = read(features.metadata_location, features.snapshot_id, days, columns)
    check_rows(rows, features.rows, "Features")
    labelled = Labelled(rows, 0, 0)
    if labels is not None:
        known = read(labels.metadata_location, labels.snapshot_id, days, label_columns(job.row_key, job.label.column))
        check_rows(known, labels.rows, "Labels")
        labelled = join_labels(rows, known, job.row_key, job.label.column)
    window, holdout = (rows_of(labelled.table, part, job.row_key, job.label) for part in (features.window, features.holdout))
    return Examples(window, holdout, labelled.unlabelled, labelled.unmatched)


def columns_to_read(inputs: Inputs, label: Label | None, row_key: Sequence[str]) -> list[str]:
    """Return the columns of the features table that a training needs, each once, with the label if it is one of them."""
    return list(dict.fromkeys(["date", *row_key, *inputs.numbers, *inputs.texts, *([label.column] if label else [])]))


def check_rows(table: pa.Table, expected: Mapping[date, int], what: str) -> None:
    """Refuse a table in which the row count of a date differs from the count that its commit recorded."""
    import pyarrow.compute as pc

    counts = Counter({item["values"]: item["counts"] for item in pc.value_counts(table.column("date")).to_pylist()})
    wrong = [f"{d}: {counts[d]} rows, expected {rows}" for d, rows in expected.items() if counts[d] != rows]
    if wrong:
        raise RefusedError(
            f"{what}: the table has another number of rows than its commit recorded", wrong, "Run analyse of these dates again."
        )


def rows_of(table: pa.Table, days: Sequence[date], row_key: Sequence[str], label: Label) -> Rows:
    """Return the rows of the given dates in order."""
    rows = in_order(of_days(table, days), row_key)
    return Rows(rows, labels(rows, label))


def labels(table: pa.Table, label: Label) -> NDArray[np.int8]:
    """Return 1 for rows whose label is the positive value, else 0. Refuse a row without a label."""
    import pyarrow.compute as pc

    column = table.column(label.column)
    if column.null_count:
        raise RefusedError(
            f"Label {label.column!r}: {column.null_count} of {table.num_rows} rows have no label",
            remedy="Leave these rows out in features.sql: WHERE … IS NOT NULL. "
            "If their labels are known on a later date, set label.known_after_days.",
        )
    first = column[0].as_py() if table.num_rows else label.positive
    if type(first) is not type(label.positive):
        raise RefusedError(
            f"Label {label.column!r}: the column holds {type(first).__name__}, but label.positive is {label.positive!r}",
            remedy="Set label.positive to a value of the column.",
        )
    return np.asarray(pc.equal(column, label.positive).to_numpy(), dtype=np.int8)


def why_untrainable(window: Rows, holdout: Rows) -> str | None:
    """Return the reason not to train: a window of one class, or a holdout without rows. None: a model can be trained."""
    if not len(holdout.y):
        return (
            "the holdout has no rows with a label. Check what features.sql (and labels.sql, if it exists) selects for its dates"
        )
    positives, rows = int(window.y.sum()), len(window.y)
    if 0 < positives < rows:
        return None
    found = f"{rows} rows, all of them {'positive' if positives else 'negative'}" if rows else "no rows with a label"
    return f"the training window has {found}: a model needs both classes. Check label.positive, or lengthen training.window_days"
