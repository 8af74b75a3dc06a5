"""The check that an author's file gives the same model again from the same rows and the same seed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from perennial.errors import RefusedError
from perennial.train.author import Author

if TYPE_CHECKING:
    from perennial.models.metrics import Labels
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.model import Fitted

Model = TypeVar("Model", bound="Fitted")

log = logging.getLogger(__name__)

ROWS = 1000
"""Rows of the two trainings, at most."""

_REMEDY = (
    "Give `seed` to all that draws random numbers (`build` gets none: the global generators are seeded for it), "
    "and use neither the clock nor what an earlier call has left. "
    "Otherwise a rerun would give a different model."
)

_reproducible: set[Author] = set()
"""The files that this process has found to be reproducible: a batch trains one file for each of its dates."""


def fit_reproducibly(
    fit: Callable[[MatrixFiles], Model], shorter: Callable[[MatrixFiles], Model], rows: MatrixFiles, author: Author
) -> Model:
    """
    Return the model of all rows, and refuse a file that gives two models from the same few rows of the window.

    Two models differ if one bit of an answer does. A process checks a file once. Rows on which the file cannot be trained prove
    nothing.

    :param fit: trains a model
    :param shorter: trains one in the cheapest way that runs the author's code
    """
    failure = None if author in _reproducible else _check(shorter, rows, author)
    model = fit(rows)
    if failure is not None:
        log.warning(
            "%s: not checked for the same model again, because a training on few of its rows fails: %s", author.file, failure
        )
    return model


def _check(fit: Callable[[MatrixFiles], Fitted], rows: MatrixFiles, author: Author) -> RefusedError | None:
    """Return the failure of a training on few rows, or None if two of them give one model."""
    some = rows.copy(partial(_choose, is_classes=rows.window.target.is_classes))
    try:
        # Each model gets rows of its own: one that scales in place changes them.
        first, second = (np.asarray(fit(some).margins(some.read_whole().rows)).reshape(some.rows, -1) for _ in range(2))
    except RefusedError as error:
        return error
    differing = np.flatnonzero(((first != second) & ~(np.isnan(first) & np.isnan(second))).any(axis=1))
    if len(differing):
        row = int(differing[0])
        raise RefusedError(
            f"{author.file} gives another model each time",
            [
                f"two trainings on the same {some.rows:,} rows with the same seed: {len(differing):,} margins differ, "
                f"that of row {row} is {', '.join(map(str, first[row]))} and then {', '.join(map(str, second[row]))}"
            ],
            _REMEDY,
        )
    _reproducible.add(author)
    return None


def _choose(y: Labels, *, is_classes: bool) -> NDArray[np.int64]:
    """Return the places of the first ROWS rows, in their order; of each class as many if there are."""
    if not is_classes:
        return np.arange(min(ROWS, len(y)))
    labels = np.unique(y)
    return np.sort(np.concatenate([np.flatnonzero(y == label)[: ROWS // len(labels)] for label in labels]))
