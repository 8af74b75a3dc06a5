"""Read all that the gate judges a holdout by, part by part: 8 bytes a row and model remain, and a few bytes a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from perennial.errors import RefusedError
from perennial.evaluate.comparison import Opponent
from perennial.evaluate.holdout import open_predictions, read_holdout
from perennial.evaluate.judged import Categories, Codes, Holdout
from perennial.evaluate.opponents import Scorer
from perennial.evaluate.predictions import Predictions
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.lake.parts import count_rows
from perennial.lake.tables import RowsReader
from perennial.models.metrics import Floats, Integers
from perennial.models.scoring import encode_texts
from perennial.store.json_value import Json

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """
    The rows of a holdout with the probabilities of all models, in the same order.

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
        facts: Json = {"days": [day.isoformat() for day in self.days], "rows": len(y), "positives": int(y.sum())}
        return facts if self.of_rows is None else {**facts, "of_rows": self.of_rows}


def gather(lake: Lake, manifests: Mapping[str, ModelManifest], opponents: Sequence[Scorer], reader: RowsReader) -> JudgedRows:
    """Read the holdout rows of all candidates, match their predictions, and score the rows with the opponents."""
    row_key = lake.pipeline.row_key
    labels: list[Integers] = []
    predicted: dict[str, list[Floats]] = {name: [] for name in manifests}
    scored: list[list[Floats | None]] = [[] for _ in opponents]
    rows, slices = Counter[date](), {column: _CategoriesWriter(column) for column in lake.pipeline.gate.slices}
    with ExitStack() as files:
        recorded = {
            name: Predictions(files.enter_context(open_predictions(lake, manifest)), row_key, name)
            for name, manifest in manifests.items()
        }
        for part in read_holdout(lake, manifests, reader):
            y: Integers | None = None
            for name, predictions in recorded.items():
                theirs, p = predictions.match(part.table, part.days, is_range=part.is_range)
                y = theirs if y is None else _require_same(y, theirs, name)
                predicted[name].append(p)
            labels.append(y if y is not None else np.zeros(0, dtype=np.int8))
            for found, opponent in zip(scored, opponents, strict=True):
                found.append(opponent.score(part.table))
            for column in slices.values():
                column.add(part.table)
            rows.update(count_rows(part.table))
        for predictions in recorded.values():
            predictions.finish()
    days = sorted(rows)
    holdout = Holdout(np.concatenate(labels), [rows[day] for day in days], {name: c.finish() for name, c in slices.items()})
    judged = [opponent.judged(_join(found), days) for opponent, found in zip(opponents, scored, strict=True)]
    return JudgedRows(
        holdout, days, {name: np.concatenate(predicted.pop(name)) for name in manifests}, judged, _of_rows(lake, manifests)
    )


def _of_rows(lake: Lake, manifests: Mapping[str, ModelManifest]) -> int | None:
    manifest = next(iter(manifests.values()))
    if "judged_below" not in manifest:
        return None
    partitions = lake.tables.state("features").partitions
    return sum(partitions[day].rows for day in manifest["holdout"])


def _require_same(y: Integers, theirs: Integers, name: str) -> Integers:
    if not np.array_equal(y, theirs):
        raise RefusedError(
            f"Candidate {name!r}: its labels differ from those of the other candidates on the same rows. "
            "Train all candidates again."
        )
    return y


def _join(parts: list[Floats | None]) -> Floats | None:
    known = [part for part in parts if part is not None]
    parts.clear()
    return np.concatenate(known) if known else None


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
