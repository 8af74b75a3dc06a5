"""
Read all that the gate judges a holdout by, part by part.

Of each row, 8 bytes for each prediction of a model remain, and a few bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from perennial.errors import RefusedError
from perennial.evaluate.comparison import Opponent
from perennial.evaluate.holdout import common_holdout, open_predictions, read_holdout
from perennial.evaluate.judged import Categories, Codes, Holdout
from perennial.evaluate.opponents import Scorer
from perennial.evaluate.predictions import Predictions
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.lake.parts import count_rows
from perennial.lake.tables import RowsReader
from perennial.models.metrics import Floats, Labels
from perennial.models.scoring import encode_texts
from perennial.store.json_value import Json
from perennial.tasks.task import task_of

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """
    The rows of a holdout with the predictions of all models, in the same order.

    :param of_rows: the rows that the dates have in the features table, if only some of them are judged
    """

    holdout: Holdout
    days: Sequence[date]
    predicted: Mapping[str, Floats]
    opponents: Sequence[Opponent]
    of_rows: int | None

    @property
    def facts(self) -> Json:
        """Return the facts that a decision stores."""
        y = self.holdout.y
        facts: Json = {"days": [day.isoformat() for day in self.days], "rows": len(y), **self.holdout.task.facts(y)}
        return facts if self.of_rows is None else {**facts, "of_rows": self.of_rows}


def gather(lake: Lake, manifests: Mapping[str, ModelManifest], opponents: Sequence[Scorer], reader: RowsReader) -> JudgedRows:
    """Read the holdout rows of all candidates, match their predictions, and score the rows with the opponents."""
    row_key, most = lake.pipeline.row_key, _count_features(lake, manifests)
    task = task_of(lake.pipeline.label)
    labels = _Values(most, np.dtype(task.label_type))
    predicted = {name: _Values(most, np.dtype(np.float64), task.shape) for name in manifests}
    scored = [_Values(most, np.dtype(np.float64), task.shape) for _ in opponents]
    rows, slices = Counter[date](), {column: _CategoriesWriter(column) for column in lake.pipeline.gate.slices}
    with ExitStack() as files:
        recorded = {
            name: Predictions(files.enter_context(open_predictions(lake, manifest)), row_key, name, task)
            for name, manifest in manifests.items()
        }
        for part in read_holdout(lake, manifests, reader):
            y: Labels | None = None
            for name, predictions in recorded.items():
                theirs, p = predictions.match(part.table, part.days, is_range=part.is_range)
                y = theirs if y is None else _require_same(y, theirs, name)
                predicted[name].add(p)
            if y is not None:
                labels.add(y)
            for values, opponent in zip(scored, opponents, strict=True):
                if (p_theirs := opponent.score(part.table)) is not None:
                    values.add(p_theirs)
            for column in slices.values():
                column.add(part.table)
            rows.update(count_rows(part.table))
        for predictions in recorded.values():
            predictions.finish()
    days = sorted(rows)
    holdout = Holdout(task, labels.filled, [rows[day] for day in days], {name: c.finish() for name, c in slices.items()})
    judged = [
        opponent.judged(values.filled if opponent.graph is not None else None, days)
        for opponent, values in zip(opponents, scored, strict=True)
    ]
    is_all = "judged_below" not in next(iter(manifests.values()))
    return JudgedRows(holdout, days, {n: v.filled for n, v in predicted.items()}, judged, None if is_all else most)


def _count_features(lake: Lake, manifests: Mapping[str, ModelManifest]) -> int:
    """Return the rows that the dates of the holdout have in the features table."""
    state = lake.tables.state("features")
    return sum(partition.rows for day in common_holdout(lake, manifests) if (partition := state.get(day)) is not None)


def _require_same(y: Labels, theirs: Labels, name: str) -> Labels:
    if not np.array_equal(y, theirs):
        raise RefusedError(
            f"Candidate {name!r}: its labels differ from those of the other candidates on the same rows. "
            "Train all candidates again."
        )
    return y


class _Values(Generic[T]):
    """The values of a column, filled part by part: to join the parts at the end would take twice the memory."""

    def __init__(self, most: int, dtype: np.dtype[T], shape: tuple[int, ...] = ()) -> None:
        self._values, self._rows = np.empty((most, *shape), dtype=dtype), 0

    def add(self, part: NDArray[T]) -> None:
        self._values[self._rows : self._rows + len(part)] = part
        self._rows += len(part)

    @property
    def filled(self) -> NDArray[T]:
        """Return the values so far."""
        return self._values[: self._rows]


class _CategoriesWriter:
    """Collects the texts of a column, part by part, with as few bytes a row as its number of texts needs."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._known: dict[str | None, int] = {}
        self._parts: list[Codes] = []

    def add(self, table: pa.Table) -> None:
        words, positions = encode_texts(table, self._column)
        codes = np.array([self._known.setdefault(word, len(self._known)) for word in words])
        self._parts.append(codes[positions].astype(np.min_scalar_type(len(self._known))))

    def finish(self) -> Categories:
        words = sorted(word for word in self._known if word is not None)
        places = {word: place for place, word in enumerate([*words, None])}
        ranks = np.array([places[word] for word in self._known], dtype=np.min_scalar_type(len(places)))
        return Categories(words, np.concatenate([ranks[part] for part in self._parts]))
