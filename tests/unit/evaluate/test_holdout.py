"""The rows of a holdout: in one order, each once."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from perennial.config.pipeline import BinaryLabel
from perennial.errors import RefusedError
from perennial.evaluate.holdout import order_rows
from perennial.evaluate.predictions import match
from perennial.tasks.task import task_of

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)

TASK = task_of(BinaryLabel(column="y"))


def rows(*keys: tuple[date, str | None, int]) -> pa.Table:
    return pa.table({"date": [k[0] for k in keys], "name": [k[1] for k in keys], "n": [k[2] for k in keys]})


def test_rows_are_ordered_by_date_and_key_nulls_last() -> None:
    found = order_rows(rows((SECOND, "b", 1), (FIRST, None, 1), (FIRST, "é", 1), (FIRST, "b", 2), (FIRST, "b", 1)), ["name", "n"])
    assert (
        found.to_pylist()
        == rows((FIRST, "b", 1), (FIRST, "b", 2), (FIRST, "é", 1), (FIRST, None, 1), (SECOND, "b", 1)).to_pylist()
    )


@pytest.mark.parametrize("name", ["a", None])
def test_a_key_that_stands_there_twice_is_refused(name: str | None) -> None:
    with pytest.raises(RefusedError, match=f"1 rows of the features occur twice: date=2026-03-01, name={name}, n=1"):
        order_rows(rows((FIRST, name, 1), (FIRST, "b", 1), (FIRST, name, 1)), ["name", "n"])


@pytest.mark.parametrize(
    ("names", "says"),
    [(pa.array(["a"], pa.large_string()), None), (pa.array([7], pa.int32()), "not predicted: date=2026-03-01, name=a, n=1")],
)
def test_keys_of_predictions_are_compared_by_value(names: pa.Array, says: str | None) -> None:
    ordered = order_rows(rows((FIRST, "a", 1)), ["name", "n"])
    predictions = ordered.set_column(1, "name", names).append_column("y", [[1]]).append_column("p", [[0.5]])
    if says is None:
        assert [part.tolist() for part in match(ordered, predictions, ["name", "n"], "mlp", TASK)] == [[1], [0.5]]
    else:
        with pytest.raises(RefusedError, match=says):
            match(ordered, predictions, ["name", "n"], "mlp", TASK)
