"""The labels 0 and 1 of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.config.pipeline import Label
from perennial.errors import RefusedError

if TYPE_CHECKING:
    import pyarrow as pa


def read_labels(table: pa.Table, label: Label) -> NDArray[np.int8]:
    """Return 1 for rows whose label is the positive value, else 0. Refuse a row without a label."""
    import pyarrow.compute as pc

    column = table.column(label.column)
    if column.null_count:
        raise RefusedError(
            f"Label {label.column!r}: {column.null_count} of {table.num_rows} rows have no label",
            remedy="Leave these rows out in features.sql: WHERE … IS NOT NULL. "
            "If their labels are known on a later date, set label.known_after_days.",
        )
    first = column[0].as_py() if table.num_rows else label.positive
    if type(first) is not type(label.positive):
        raise RefusedError(
            f"Label {label.column!r}: the column holds {type(first).__name__}, but label.positive is {label.positive!r}",
            remedy="Set label.positive to a value of the column.",
        )
    return np.asarray(pc.equal(column, label.positive).to_numpy(), dtype=np.int8)
