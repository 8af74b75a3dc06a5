"""Columns of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.config.label import Label
from perennial.errors import RefusedError

if TYPE_CHECKING:
    import pyarrow as pa


def known_labels(table: pa.Table, label: Label) -> pa.ChunkedArray:
    """Return the column of the label. Refuse a row without one."""
    column = table.column(label.column)
    if column.null_count:
        raise RefusedError(
            f"Label {label.column!r}: {column.null_count} of {table.num_rows} rows have no label",
            remedy="Leave these rows out in features.sql: WHERE … IS NOT NULL. "
            "If their labels are known on a later date, set label.known_after_days.",
        )
    return column
