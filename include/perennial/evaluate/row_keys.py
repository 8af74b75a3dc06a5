"""The keys of rows: their date and row key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

Key = tuple[Any, ...]


def key_columns(row_key: Sequence[str]) -> list[str]:
    """Return the columns of a key, each once."""
    return list(dict.fromkeys(["date", *row_key]))


def find_duplicates(ordered: pa.Table, row_key: Sequence[str]) -> list[Key]:
    """Return the keys of the rows whose key equals that of the row before."""
    import pyarrow.compute as pc

    before, after = ordered.slice(0, ordered.num_rows - 1), ordered.slice(1)
    same = np.ones(before.num_rows, dtype=bool)
    for name in key_columns(row_key):
        equal = pc.fill_null(pc.equal(before[name], after[name]), False)
        same &= pc.or_(equal, pc.and_(pc.is_null(before[name]), pc.is_null(after[name]))).to_numpy()
    return keys(after.filter(same), row_key) if same.any() else []


def keys(table: pa.Table, row_key: Sequence[str]) -> list[Key]:
    """Return (date, row key) of every row."""
    return list(zip(*(table[name].to_pylist() for name in key_columns(row_key)), strict=True))


def format_key(key: Key, row_key: Sequence[str]) -> str:
    """Return a key in words."""
    return ", ".join(f"{name}={value}" for name, value in zip(key_columns(row_key), key, strict=True))
