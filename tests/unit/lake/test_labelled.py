"""Labels joined to features: by date and row key, each once, and what is left over is counted."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest

from perennial.errors import RefusedError
from perennial.lake.labelled import join_labels, label_columns

DAY = date(2026, 3, 1)


def table(rows: list[tuple[int, int | None, object]], value: str, kind: pa.DataType) -> pa.Table:
    return pa.table(
        {
            "date": pa.array([DAY + timedelta(days=after) for after, _, _ in rows], pa.date32()),
            "id": pa.array([key for _, key, _ in rows], pa.int64()),
            value: pa.array([found for _, _, found in rows], kind),
        }
    )


FEATURES = table([(1, 7, 0.1), (0, 7, 0.2), (0, 8, 0.3), (0, 9, 0.4), (0, None, 0.5)], "x", pa.float64())


def test_rows_get_the_label_of_their_date_and_key() -> None:
    labels = table([(0, 7, True), (1, 7, False), (0, 8, None), (0, None, True), (2, 9, True)], "y", pa.bool_())
    found = join_labels(FEATURES, labels, ["id"], "y")
    assert found.table.to_pylist() == [
        {"date": DAY + timedelta(days=1), "id": 7, "x": 0.1, "y": False},
        {"date": DAY, "id": 7, "x": 0.2, "y": True},
    ]
    # Without a label: 8 has null, 9 none on its date, and a key with a null in it belongs to no row.
    assert (found.unlabelled, found.unmatched) == (3, 2)


def test_no_labels_at_all() -> None:
    found = join_labels(FEATURES, table([], "y", pa.bool_()), ["id"], "y")
    assert (found.table.num_rows, found.unlabelled, found.unmatched) == (0, 5, 0)


def test_two_labels_of_one_row_are_refused_by_their_key() -> None:
    with pytest.raises(RefusedError, match="date=2026-03-01, id=7"):
        join_labels(FEATURES, table([(0, 7, True), (0, 7, True)], "y", pa.bool_()), ["id"], "y")


def test_keys_of_two_types_are_refused() -> None:
    labels = table([(0, 7, True)], "y", pa.bool_())
    with pytest.raises(RefusedError, match=r"id: int32 in labels\.sql, int64 in features\.sql"):
        join_labels(FEATURES, labels.set_column(1, "id", labels["id"].cast(pa.int32())), ["id"], "y")


def test_a_key_that_is_the_date_is_read_once() -> None:
    assert label_columns(["date", "id"], "y") == ["date", "id", "y"]
