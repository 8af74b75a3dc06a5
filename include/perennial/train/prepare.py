"""Read one training from the features table, checked and with labels: window and holdout on scratch disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from perennial.config.label import BinaryLabel, ClassesLabel, Constant
from perennial.config.pipeline import Inputs, Label
from perennial.errors import RefusedError
from perennial.lake.labelled import Labelled, join_labels, label_columns
from perennial.lake.parts import count_rows, divide, is_read_at_once
from perennial.lake.sample import ALL, SAMPLE, filter_below, judged_limits
from perennial.lake.tables import RowsReader, of_days, read_rows
from perennial.tasks.task import task_of
from perennial.train.holdout import HoldoutWriter, StoredHoldout
from perennial.train.job import TrainingJob
from perennial.train.sampling import ALL_ROWS, Bounds, Classes, choose_balanced, choose_uniform
from perennial.train.scratch import Scratch
from perennial.train.window import Window, WindowWriter

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Examples:
    """
    The labelled rows of a training.

    :param unlabelled: number of rows of the features without a label; they are left out. Only rows below the job's limits count
    :param unmatched: number of labels without a row in the features; they are ignored. Only rows below the job's limits count
    :param classes: the labels of all rows of the window's dates, if the window is a balanced sample of them
    """

    window: Window
    holdout: StoredHoldout
    unlabelled: int
    unmatched: int
    classes: Classes | None = None

    @property
    def constant(self) -> Constant:
        """Return the constant forecast of the window's dates: of classes, the share of positive rows, or of each class."""
        if self.classes is None:
            return self.window.target.constant
        return self.classes.positives / max(self.classes.negatives + self.classes.positives, 1)


def read_examples(job: TrainingJob, scratch: Scratch, reader: RowsReader | None = None) -> Examples:
    """
    Return the rows of a job's window and holdout with their labels, from the tables that the job names.

    :param scratch: it has an empty folder
    :param reader: it keeps the rows of few dates for the next job; None: keep nothing
    """
    features = job.features
    rows = sum(features.rows[day] for day in features.window)
    bounds, classes = _choose(job, rows, reader)
    expected = min(rows, job.sample.max_rows) if job.sample else rows
    late = first_late({day: features.rows[day] for day in features.window})
    window = WindowWriter(scratch, job.inputs, job.label, expected, bounds, late)
    holdout, unlabelled, unmatched = HoldoutWriter(scratch, job.row_key, job.label), 0, 0
    for labelled in _read_labelled(job, dict.fromkeys(features.window, bounds.largest) | _judged_limits(job), reader):
        window.add(of_days(labelled.table, features.window))
        holdout.add(of_days(labelled.table, features.holdout))
        unlabelled, unmatched = unlabelled + labelled.unlabelled, unmatched + labelled.unmatched
    return Examples(window.finish(), holdout.finish(), unlabelled, unmatched, classes)


def read_holdout(job: TrainingJob, scratch: Scratch, reader: RowsReader | None = None) -> StoredHoldout:
    """Return the rows of a job's holdout with their labels. The arguments are those of `read_examples`."""
    holdout = HoldoutWriter(scratch, job.row_key, job.label)
    for labelled in _read_labelled(job, _judged_limits(job), reader):
        holdout.add(labelled.table)
    return holdout.finish()


def _judged_limits(job: TrainingJob) -> dict[date, int]:
    """Return by date of the holdout the limit of the hash below which rows are judged."""
    return judged_limits(job.judged_below, {day: job.features.rows[day] for day in job.features.holdout})


def _read_labelled(job: TrainingJob, limits: Mapping[date, int], reader: RowsReader | None) -> Iterator[Labelled]:
    """Yield the rows of some dates below their limits, with labels; then compare the counts with those of the commits."""
    features, labels, found, known = job.features, job.labels, Counter[date](), Counter[date]()
    columns = columns_to_read(job.inputs, None if labels else job.label, job.row_key)
    for part in _read(job, limits, columns, reader):
        found.update(count_rows(part.features))
        known.update(count_rows(part.labels) if part.labels is not None else {})
        yield _join(job, part.below(limits))
    whole = {day for day, limit in limits.items() if limit == ALL or is_small(job)}
    check_rows(found, {day: rows for day, rows in features.rows.items() if day in whole}, "Features")
    if labels is not None:
        check_rows(known, {day: rows for day, rows in labels.rows.items() if day in whole}, "Labels")


def first_late(rows: Mapping[date, int]) -> date | None:
    """
    Return the first of the last dates of a window, which have a quarter of its rows or more. None: it has one date only.

    :param rows: the number of rows by date
    """
    late, total, days = 0, sum(rows.values()), sorted(rows)
    for day in reversed(days[1:]):
        late += rows[day]
        if 4 * late >= total:
            return day
    return days[1] if len(days) > 1 else None


def _choose(job: TrainingJob, rows: int, reader: RowsReader | None) -> tuple[Bounds, Classes | None]:
    """Return the bounds of a job's sample, and the classes of its window if they had to be counted."""
    if job.sample is None or rows <= job.sample.max_rows:
        return ALL_ROWS, None
    if job.sample.kind == "uniform":
        return choose_uniform(job.sample, rows), None
    counts = np.zeros(2, dtype=np.int64)
    limits = dict.fromkeys(job.features.window, ALL)
    for part in _read(job, limits, _key_columns(job), reader if is_small(job) else None):
        labelled = _join(job, part)
        counts += np.bincount(task_of(job.label).read_labels(labelled.table), minlength=2)
    classes = Classes(*counts.tolist())
    return choose_balanced(job.sample, classes), classes


def _join(job: TrainingJob, part: _Part) -> Labelled:
    """Return the rows of the features that have a label."""
    if part.labels is None:
        return Labelled(part.features, 0, 0)
    return join_labels(part.features, part.labels, job.row_key, job.label.column)


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of the features, and the rows of the same keys of the table of labels, if the job has one."""

    features: pa.Table
    labels: pa.Table | None

    def below(self, limits: Mapping[date, int]) -> _Part:
        """Return the rows whose hash is lower than the limit of their date."""
        if min(limits.values()) == ALL:
            return self
        return _Part(filter_below(self.features, limits), None if self.labels is None else filter_below(self.labels, limits))


def is_small(job: TrainingJob) -> bool:
    """Return whether all rows of a job are read at once."""
    return is_read_at_once(sum(job.features.rows.values()))


def _key_columns(job: TrainingJob) -> list[str]:
    """Return the columns by which rows are counted: if all rows are read at once, those that will be read anyway."""
    if is_small(job):
        return columns_to_read(job.inputs, None if job.labels else job.label, job.row_key)
    return list(dict.fromkeys(["date", *job.row_key, *([] if job.labels else [job.label.column]), SAMPLE]))


def _read(job: TrainingJob, limits: Mapping[date, int], columns: list[str], reader: RowsReader | None) -> Iterator[_Part]:
    """
    Yield rows of some dates of a job, at most about MAX_READ at once.

    :param limits: the dates, and the limit of the hash above which none of their rows is needed; some may be among the rows
    """
    known = label_columns(job.row_key, job.label.column)
    if job.sample is not None or job.judged_below is not None:
        known.append(SAMPLE)
    for days, among in divide({day: job.features.rows[day] for day in limits}, limits):
        read = reader.read if among is None and reader is not None else partial(read_rows, among=among)
        rows = read(job.features.metadata_location, job.features.snapshot_id, days, columns)
        yield _Part(rows, read(job.labels.metadata_location, job.labels.snapshot_id, days, known) if job.labels else None)


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


def why_untrainable(examples: Examples) -> str | None:
    """Return the reason not to train: a window of equal labels, or a holdout without rows. None: a model can be trained."""
    if not examples.holdout.rows:
        return (
            "the holdout has no rows with a label. Check what features.sql (and labels.sql, if it exists) selects for its dates"
        )
    target, rows = examples.window.target, examples.window.rows
    if isinstance(target.label, BinaryLabel):
        if 0 < (share := float(np.asarray(target.constant))) < 1:
            return None
        equal, remedy = "positive" if share else "negative", "A model needs both classes: check label.positive"
    elif isinstance(target.label, ClassesLabel):
        if len(target.present) > 1:
            return None
        equal = "".join(f"of the class {target.label.names[place]!r}" for place in target.present)
        remedy = "A model needs several classes: check the SQL of the label"
    else:
        if target.spread > 0:
            return None
        equal, remedy = f"with the label {target.constant:g}", "A model needs different labels: check the SQL of the label"
    found = f"{rows} rows, all of them {equal}" if rows else "no rows with a label"
    return f"the training window has {found}. {remedy}, or lengthen training.window_days"
