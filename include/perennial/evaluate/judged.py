"""The rows on which all models are judged, in order of date. Pure. A model's predictions come in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from perennial.models.metrics import Floats, Labels
from perennial.tasks.task import LearningTask

Codes = NDArray[np.unsignedinteger]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Categories:
    """A column of texts: its texts, sorted, and the place of each row's text among them. A null has the place after the last."""

    words: Sequence[str]
    codes: Codes


@dataclass(frozen=True, slots=True)
class Selection:
    """Some rows of a holdout: those of the given dates, in a slice only those with one code."""

    dates: Sequence[slice]
    codes: Codes | None = None
    code: int = 0

    def by_date(self, values: NDArray[T]) -> Iterator[NDArray[T]]:
        """Yield the values of the selected rows, date by date."""
        for date in self.dates:
            yield values[date] if self.codes is None else values[date][self.codes[date] == self.code]


@dataclass(frozen=True, slots=True)
class Holdout:
    """The task, the labels of all rows, the number of rows of each date, and the columns to slice by."""

    task: LearningTask
    y: Labels
    rows: Sequence[int]
    slices: Mapping[str, Categories] = field(default_factory=dict)

    @property
    def all_rows(self) -> Selection:
        """Return all rows."""
        return Selection([slice(*ends) for ends in pairwise(accumulate(self.rows, initial=0))])

    def slices_of(self, column: str, min_rows: int) -> Iterator[tuple[str, int, Selection | None]]:
        """Yield each text of a column, its number of rows, and these rows; None: they are fewer than `min_rows`."""
        categories = self.slices[column]
        counts = np.bincount(categories.codes, minlength=len(categories.words))
        dates = self.all_rows.dates
        for code, word in enumerate(categories.words):
            rows = int(counts[code])
            if rows < min_rows:
                yield word, rows, None
                continue
            found = [date for date in dates if (categories.codes[date] == code).any()]
            yield word, rows, Selection(found, categories.codes, code)


def sorted_by_class(positive: NDArray[np.bool_], p: Floats, selection: Selection) -> list[tuple[Floats, Floats]]:
    """Return, by date, the sorted probabilities of the selected rows that are not of a class, and of those that are."""
    days = zip(selection.by_date(positive), selection.by_date(p), strict=True)
    return [(np.sort(some[~of_class]), np.sort(some[of_class])) for of_class, some in days]
