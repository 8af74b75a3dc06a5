"""The comparison of a model's graph with the library that trained it: a graph that answers otherwise is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from perennial.config.pipeline import Inputs
from perennial.errors import PerennialError, RefusedError
from perennial.lake.golden import ROUNDING
from perennial.models.metrics import Floats
from perennial.models.scoring import SLICE_ROWS, Graph, Numbers, Texts, to_arrays
from perennial.train.holdout import StoredHoldout
from perennial.train.window import Window

if TYPE_CHECKING:
    import pyarrow as pa

MAX_DIFFERENCE = 1e-5
"""Of a probability, or of a label's standard deviation. 32-bit floats that are added in another order differ by a tenth of it."""

_WINDOW_ROWS = 5_000
_ALONE_ROWS = 20
_ODD_ROWS = 200
"""Rows for each input that is null or unseen."""

_LARGEST = float(np.finfo(np.float32).max)
_UNSEEN = "a text that no window has"
_MIXED_ROWS = 2_000
_FAR_ROWS = 20
"""Rows for each number that is far outside the window."""

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
    :raises RefusedError: they differ by more than MAX_DIFFERENCE, are not finite, or one of the two fails
    """
    exported = Graph(graph, output)
    largest, differing, count = 0.0, list[str](), 0
    for place, some in enumerate(rows):
        with _failures(f"{candidate}: the exported graph", some):
            found = exported.run(some.numbers, some.texts).astype(np.float64) if some.found is None else some.found
        if place == 0:
            _require_same_alone(exported, some, candidate, spread)
        with _failures(f"{candidate}: the library that trained it", some):
            expected = answer(some.numbers, some.texts)
        _require_finite(found, some, candidate)
        differences = np.abs(found - expected) / spread
        differences[np.isnan(differences)] = np.inf
        largest = max(largest, float(differences.max(initial=0.0)))
        wrong = _find_wrong(differences, np.nan_to_num(expected), spread)
        count += len(wrong)
        for row in wrong[: max(_MAX_NAMED - len(differing), 0)]:
            differing.append(f"{some.name(row)}: library {_format(expected[row])}, graph {_format(found[row])}")
    if count:
        raise RefusedError(
            f"{candidate}: the exported graph differs from the library that trained it on {count:,} rows, "
            f"by up to {largest:.2g} (limit {MAX_DIFFERENCE:.0e})",
            differing,
            "The model is not stored. Change the parameters of this candidate or leave it out, and report the case.",
        )
    return largest


@contextmanager
def _failures(what: str, some: Rows) -> Iterator[None]:
    """Raise RefusedError if the graph or the library fails on rows: each has errors of its own, without a common class."""
    try:
        yield
    except (MemoryError, PerennialError):
        raise
    except Exception as error:
        problem = f"{some.name(0)} and the rows after it: {type(error).__name__}: {' '.join(str(error).split())[:500]}"
        remedy = "A model must answer each row, also one with a null or a class that the window does not have."
        raise RefusedError(f"{what} cannot answer some rows", [problem], remedy) from error


def _require_finite(found: Floats, some: Rows, candidate: str) -> None:
    rows = np.flatnonzero(~np.isfinite(found.reshape(len(found), -1)).all(axis=1)).tolist()
    if rows:
        raise RefusedError(
            f"{candidate}: the answers to {len(rows):,} rows are not finite",
            [f"{some.name(row)}: {_format(found[row])}" for row in rows[:_MAX_NAMED]],
            "Change its parameters, or bound the values that its layers and steps compute.",
        )


def _find_wrong(differences: Floats, expected: Floats, spread: float) -> list[int]:
    """Return the places of the rows that differ by more than is allowed."""
    found: list[int] = np.unique(np.nonzero(differences > MAX_DIFFERENCE + ROUNDING * np.abs(expected) / spread)[0]).tolist()
    return found


def _require_same_alone(exported: Graph, some: Rows, candidate: str, spread: float) -> None:
    """Refuse a graph that answers a row otherwise beside other rows than alone: a server is asked for single rows."""
    numbers, texts = some.numbers[:_ALONE_ROWS], some.texts[:_ALONE_ROWS]
    together = exported.run(numbers, texts).astype(np.float64)
    rows = [slice(row, row + 1) for row in range(len(together))]
    alone = np.concatenate([exported.run(numbers[row], texts[row]) for row in rows]).astype(np.float64)
    if wrong := _find_wrong(np.abs(alone - together) / spread, together, spread):
        raise RefusedError(
            f"{candidate}: the answer to a row depends on the rows beside it",
            [
                f"{some.name(row)}: alone {_format(alone[row])}, with others {_format(together[row])}"
                for row in wrong[:_MAX_NAMED]
            ],
            "A layer that normalises over the rows of a batch does that: normalise over columns, or use BatchNormalization.",
        )


def rows_to_compare(
    inputs: Inputs, window: Window | None, holdout: StoredHoldout, row_key: Sequence[str], found: Floats | None = None
) -> Iterator[Rows]:
    """
    Yield all rows of the holdout, rows of the window, and rows that neither has, but that a server may be asked for.

    These have the inputs of different rows of the window, or one input that is null, unseen, or far outside the window.

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
    kind, numbers, texts = sample
    mixed = _mix(numbers[:_MIXED_ROWS]), _mix(texts[:_MIXED_ROWS])
    yield Rows(*mixed, partial(_name_by_place, [f"{kind}, inputs of different rows"], len(mixed[0])))
    if far := list(_move_each_number(kind, numbers, inputs)):
        kinds, moved = zip(*far, strict=True)
        yield Rows(
            np.concatenate(moved), np.concatenate([texts[:_FAR_ROWS]] * len(far)), partial(_name_by_place, kinds, len(moved[0]))
        )
    numbers, texts = numbers[:_ODD_ROWS], texts[:_ODD_ROWS]
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


def _mix(values: Values) -> Values:
    """Return the rows with each input drawn from another row: trees and bounds meet combinations that no row has."""
    rng = np.random.default_rng(0)
    mixed: Any = values.copy()
    for place in range(values.shape[1]):
        mixed[:, place] = values[rng.permutation(len(values)), place]
    result: Values = mixed
    return result


def _move_each_number(kind: str, numbers: Numbers, inputs: Inputs) -> Iterator[tuple[str, Numbers]]:
    """Yield some rows with each number in turn ten times its range below and above the window, and their kind."""
    for place, name in enumerate(inputs.numbers):
        known = numbers[np.isfinite(numbers[:, place]), place]
        if len(known):
            low, high = float(known.min()), float(known.max())
            reach = 10 * (high - low or abs(high) or 1)
            for side, value in (("below", low - reach), ("above", high + reach)):
                if abs(value) <= _LARGEST:
                    yield f"{kind} with {name} far {side}", _with(numbers[:_FAR_ROWS], place, value)


def _name_by_key(keys: pa.Table, row: int) -> str:
    values = keys.slice(row, 1).to_pylist()[0]
    return f"holdout, {', '.join(f'{key} {value}' for key, value in values.items())}"


def _name_by_place(kinds: Sequence[str], count: int, row: int) -> str:
    """Return the name of a row of several kinds, each of which has `count` rows."""
    return f"{kinds[row // count]}, row {row % count}"


def _format(answer: Floats | float) -> str:
    """Return an answer with eight digits: a number, or the probabilities of all classes."""
    return ", ".join(f"{value:.8g}" for value in np.atleast_1d(answer))


def _with(values: Values, place: int, value: object) -> Values:
    """Return a copy of [rows, inputs] in which one input has one value."""
    changed: Any = values.copy()
    changed[:, place] = value
    result: Values = changed
    return result
