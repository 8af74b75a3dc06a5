"""The comparison of a model's graph with the library that trained it: a graph that answers otherwise is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.lake.golden import ROUNDING
from perennial.models.metrics import Floats
from perennial.models.scoring import SLICE_ROWS, Graph, Numbers, Texts, to_arrays
from perennial.train.holdout import StoredHoldout
from perennial.train.window import Window

if TYPE_CHECKING:
    import pyarrow as pa

MAX_DIFFERENCE = 1e-5
"""Of a probability, or of a label's standard deviation. 32-bit floats that are added in another order differ by a tenth of it."""

MAX_GRAPH_BYTES = 50_000_000
"""A server holds the graphs of two releases, and the object store sends one to each server."""

_WINDOW_ROWS = 5_000
_ODD_ROWS = 200
"""Rows for each input that is null or unseen."""

_UNSEEN = "a text that no window has"
_MAX_NAMED = 5

Values = TypeVar("Values", Numbers, Texts)


@dataclass(frozen=True, slots=True)
class Rows:
    """
    Some rows to compare.

    :param name: returns the name of a row for a message, from its place
    :param found: the answers of the graph; None: they are not known yet
    """

    numbers: Numbers
    texts: Texts
    name: Callable[[int], str]
    found: Floats | None = None


def check_size(graph: bytes, candidate: str) -> None:
    """Refuse a graph that is too large to serve."""
    if len(graph) > MAX_GRAPH_BYTES:
        raise RefusedError(
            f"{candidate}: the exported graph has {len(graph) / 1e6:,.1f} MB, "
            f"at most {MAX_GRAPH_BYTES / 1e6:,.0f} MB are allowed",
            remedy="Train a smaller model: fewer trees, more rows in a leaf (min_samples_leaf), fewer leaves (max_leaf_nodes), "
            "or a window of fewer rows (training.max_rows).",
        )


def compare(
    graph: bytes,
    answer: Callable[[Numbers, Texts], Floats],
    candidate: str,
    rows: Iterator[Rows],
    spread: float = 1.0,
    output: str | None = None,
) -> float:
    """
    Return the largest difference between the answers of the graph and those of the library that trained it.

    :param answer: the library
    :param candidate: its name, for the message
    :param spread: the standard deviation of the labels of a regression: the difference is given in it
    :param output: another output of the graph than its first one
    :raises RefusedError: they differ by more than MAX_DIFFERENCE
    """
    exported = Graph(graph, output)
    largest, differing, count = 0.0, list[str](), 0
    for some in rows:
        found = exported.run(some.numbers, some.texts).astype(np.float64) if some.found is None else some.found
        expected = answer(some.numbers, some.texts)
        differences = np.abs(found - expected) / spread
        differences[np.isnan(differences)] = np.inf
        largest = max(largest, float(differences.max(initial=0.0)))
        allowed = MAX_DIFFERENCE + ROUNDING * np.abs(np.nan_to_num(expected)) / spread
        wrong = np.unique(np.nonzero(differences > allowed)[0]).tolist()
        count += len(wrong)
        for row in wrong[: max(_MAX_NAMED - len(differing), 0)]:
            differing.append(f"{some.name(row)}: library {_format(expected[row])}, graph {_format(found[row])}")
    if count:
        raise RefusedError(
            f"{candidate}: the exported graph answers {count:,} rows otherwise than the library that trained it, "
            f"by up to {largest:.2g}, at most {MAX_DIFFERENCE:.0e} is allowed",
            differing,
            "The model is not stored. Change the parameters of this candidate or leave it out, and report the case.",
        )
    return largest


def rows_to_compare(
    inputs: Inputs, window: Window | None, holdout: StoredHoldout, row_key: Sequence[str], found: Floats | None = None
) -> Iterator[Rows]:
    """
    Yield all rows of the holdout, rows of the window, and some of these with each input null or unseen in turn.

    :param window: None: some rows of the holdout take their place
    :param found: the answers of the graph for the holdout, in its order; None: they are not known yet
    """
    columns = list(dict.fromkeys(["date", *row_key]))
    sample: tuple[str, Numbers, Texts] | None = None
    done = 0
    for part in holdout.read():
        for begin in range(0, part.table.num_rows, SLICE_ROWS):
            table = part.table.slice(begin, SLICE_ROWS)
            known = None if found is None else found[done : done + table.num_rows]
            numbers, texts = to_arrays(table, inputs)
            yield Rows(numbers, texts, partial(_name_by_key, table.select(columns)), known)
            done += table.num_rows
            sample = sample or ("holdout", numbers, texts)
    if window is not None:
        bucket = next(window.read())
        sample = "window", bucket.numbers[:_WINDOW_ROWS], bucket.texts[:_WINDOW_ROWS]
        yield Rows(*sample[1:], partial(_name_by_place, ["window"], len(sample[1])))
    if sample is None:
        return
    kind, numbers, texts = sample[0], sample[1][:_ODD_ROWS], sample[2][:_ODD_ROWS]
    variants = _change_each_input(kind, numbers, texts, inputs)
    # As many at once as the graph gets: a library may take longer for a call than for its rows.
    while some := list(islice(variants, SLICE_ROWS // _ODD_ROWS)):
        kinds, changed_numbers, changed_texts = zip(*some, strict=True)
        yield Rows(np.concatenate(changed_numbers), np.concatenate(changed_texts), partial(_name_by_place, kinds, len(numbers)))


def _change_each_input(kind: str, numbers: Numbers, texts: Texts, inputs: Inputs) -> Iterator[tuple[str, Numbers, Texts]]:
    """Yield the same rows with each input null or unseen in turn, and their kind."""
    for place, name in enumerate(inputs.numbers):
        yield f"{kind} with {name} null", _with(numbers, place, np.nan), texts
    for place, name in enumerate(inputs.texts):
        yield f"{kind} with {name} null", numbers, _with(texts, place, "")
        yield f"{kind} with {name} unseen", numbers, _with(texts, place, _UNSEEN)


def _name_by_key(keys: pa.Table, row: int) -> str:
    values = keys.slice(row, 1).to_pylist()[0]
    return f"holdout, {', '.join(f'{key} {value}' for key, value in values.items())}"


def _name_by_place(kinds: Sequence[str], count: int, row: int) -> str:
    """Return the name of a row of several kinds, each of which has `count` rows."""
    return f"{kinds[row // count]}, row {row % count}"


def _format(answer: Floats | float) -> str:
    """Return an answer with seven decimals: a number, or the probabilities of all classes."""
    return ", ".join(f"{value:.7f}" for value in np.atleast_1d(answer))


def _with(values: Values, place: int, value: object) -> Values:
    """Return a copy of [rows, inputs] in which one input has one value."""
    changed: Any = values.copy()
    changed[:, place] = value
    result: Values = changed
    return result
