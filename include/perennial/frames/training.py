"""The rows of a training in memory, for a person who writes `fit` of `candidates/<name>.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, get_args

import numpy as np

from perennial.config.candidates import File
from perennial.errors import RefusedError, did_you_mean
from perennial.models.scoring import SLICE_ROWS, to_arrays
from perennial.settings import get_settings
from perennial.train.author_code import AuthorRows, Task
from perennial.train.file import prepare, rows_of
from perennial.train.matrix_files import store_matrix
from perennial.train.plan import plan_rows
from perennial.train.prepare import read_examples, why_untrainable
from perennial.train.scratch import open_scratch
from perennial.train.views import View, ViewGraph

if TYPE_CHECKING:
    from perennial.lake.lake import Lake
    from perennial.models.metrics import Labels
    from perennial.train.holdout import StoredHoldout
    from perennial.train.target import Target

VIEWS = get_args(File.model_fields["view"].annotation)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """
    The rows that the trainings of a date learn from and are judged on, as `fit(rows, task, seed)` gets them.

    :param rows: the rows of the window
    :param holdout: those of the holdout in the same columns, in order of date and row key; its `late` is False.
        A class that the window lacks has the label -1
    :param task: the task, as `fit` gets it
    """

    rows: AuthorRows
    holdout: AuthorRows
    task: Task

    def __repr__(self) -> str:
        """Return the numbers of rows and of columns."""
        rows, holdout = len(self.rows.y), len(self.holdout.y)
        return f"<training on {rows:,} rows, holdout of {holdout:,}, {len(self.rows.columns)} columns, {self.task.name}>"


def read_training(lake: Lake, day: date, view: str) -> TrainingData:
    """
    Read the rows of a date's training in a view, "matrix" or "table".

    :raises RefusedError: there is no such view, or as `plan_rows`
    """
    if view not in VIEWS:
        remedy = did_you_mean(view, VIEWS).strip() or f"Pass {' or '.join(VIEWS)}."
        raise RefusedError(f"There is no view {view!r} of the rows of a training", remedy=remedy)
    settings = File.model_validate({"view": view})
    job = plan_rows(lake, day, settings)
    with open_scratch(get_settings().max_scratch) as scratch:
        examples = read_examples(job, scratch)
        if reason := why_untrainable(examples):
            raise RefusedError(f"Pipeline {lake.pipeline.name!r}: nothing can be trained for {day}", [reason])
        seen, target = prepare(examples.window, settings), examples.window.target
        rows = rows_of(store_matrix(examples.window, seen))
        return TrainingData(rows, _read_holdout(examples.holdout, seen, target, rows), Task.of(target))


def _read_holdout(holdout: StoredHoldout, view: View, target: Target, rows: AuthorRows) -> AuthorRows:
    graph, x = ViewGraph(view), np.empty((holdout.rows, rows.x.shape[1]), dtype=rows.x.dtype)
    parts: list[Labels] = []
    done = 0
    for part in holdout.read():
        for begin in range(0, len(part.y), SLICE_ROWS):
            some = part.table.slice(begin, SLICE_ROWS)
            x[done : done + some.num_rows] = graph.of(*to_arrays(some, view.inputs)).as_floats()
            done += some.num_rows
        parts.append(part.y)
    labels = np.concatenate(parts)
    y = target.scale(labels).astype(rows.y.dtype)
    if target.present:
        y[~np.isin(labels, target.present)] = -1
    return replace(rows, x=x, y=y, late=np.zeros(len(y), dtype=bool))
