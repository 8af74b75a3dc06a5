"""Rows are sorted and counted, labels are 0 and 1, and what does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pyarrow as pa
import pytest

from perennial.config.pipeline import BinaryLabel
from perennial.errors import RefusedError
from perennial.lake.tables import of_days
from perennial.tasks.task import task_of
from perennial.train.holdout import order_and_label
from perennial.train.prepare import check_rows

FIRST = date(2024, 2, 26)
LABEL = BinaryLabel(column="failed", positive=True)
ROW_KEY = ["machine", "slot"]


def test_rows_come_in_order_of_date_and_key(make_rows: Callable[..., pa.Table]) -> None:
    rows = order_and_label(of_days(make_rows(), [FIRST + timedelta(days=2), FIRST]), ROW_KEY, LABEL)
    order = [(row["date"], row["machine"], row["slot"]) for row in rows.table.to_pylist()]
    assert order == sorted(order)
    assert {key[0] for key in order} == {FIRST, FIRST + timedelta(days=2)}
    assert rows.y.tolist() == [int(value) for value in rows.table.column("failed").to_pylist()]


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [([True, False], True, [1, 0]), ([1, 3], 3, [0, 1]), (["yes", "no"], "no", [0, 1])],
    ids=["boolean", "integer", "text"],
)
def test_labels(values: list[bool | int | str], positive: bool | int | str, expected: list[int]) -> None:
    assert task_of(BinaryLabel(column="y", positive=positive)).read_labels(pa.table({"y": values})).tolist() == expected


def test_missing_labels_are_counted() -> None:
    with pytest.raises(RefusedError, match="2 of 3 rows"):
        task_of(BinaryLabel(column="y")).read_labels(pa.table({"y": [True, None, None]}))


def test_label_of_another_type_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"holds int, but label\.positive is True"):
        task_of(BinaryLabel(column="y", positive=True)).read_labels(pa.table({"y": [0, 1]}))


def test_row_counts_are_compared_with_the_commit() -> None:
    counts = {date(2024, 1, 1): 2}
    check_rows(counts, {date(2024, 1, 1): 2}, "Features")
    with pytest.raises(RefusedError, match="2024-01-01: 2 rows, expected 3"):
        check_rows(counts, {date(2024, 1, 1): 3}, "Labels")
    with pytest.raises(RefusedError, match="2024-01-02: 0 rows"):
        check_rows(counts, {date(2024, 1, 1): 2, date(2024, 1, 2): 5}, "Features")
