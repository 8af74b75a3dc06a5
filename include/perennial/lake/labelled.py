"""The join of features with labels that are known later, by date and row key; rows without a match are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perennial.errors import RefusedError

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES = 5
_FEATURE, _LABEL = "__feature", "__label"


@dataclass(frozen=True, slots=True)
class Labelled:
    """
    The features that have a label, in their order, with the label as a column.

    :param unlabelled: number of features without a label (no row in labels.sql, or null there); they are left out
    :param unmatched: number of rows of labels.sql without a row in the features; they are ignored
    """

    table: pa.Table
    unlabelled: int
    unmatched: int


def label_columns(row_key: Sequence[str], label: str) -> list[str]:
    """Return the columns of the table of labels, each once."""
    return list(dict.fromkeys(["date", *row_key, label]))


def join_labels(features: pa.Table, labels: pa.Table, row_key: Sequence[str], label: str) -> Labelled:
    """Join labels to features by (date, row key); refuse a key with two labels. A key with a null matches nothing."""
    import pyarrow.compute as pc

    names = list(dict.fromkeys(["date", *row_key]))
    _require_same_types(features, labels, names)
    pairs = _add_row_number(features, names, _FEATURE).join(_add_row_number(labels, names, _LABEL), keys=names, join_type="inner")
    pairs = pairs.sort_by(_FEATURE).combine_chunks()  # the order of the join depends on its threads
    if len(pc.unique(pairs[_FEATURE])) < pairs.num_rows:
        counts = pairs.group_by(names).aggregate([([], "count_all")])
        duplicates = counts.filter(pc.greater(counts["count_all"], 1)).select(names).slice(0, EXAMPLES).to_pylist()
        raise RefusedError(
            "Labels: some rows have more than one label",
            [", ".join(f"{name}={value}" for name, value in key.items()) for key in duplicates],
            "labels.sql may return each row key once for each date: aggregate there.",
        )
    matched = features.take(pairs[_FEATURE]).append_column(label, labels[label].take(pairs[_LABEL]))
    known = matched.filter(pc.is_valid(matched[label]))
    return Labelled(known, features.num_rows - known.num_rows, labels.num_rows - pairs.num_rows)


def _add_row_number(table: pa.Table, names: Sequence[str], number: str) -> pa.Table:
    import pyarrow as pa

    return table.select(names).append_column(number, pa.array(np.arange(table.num_rows)))


def _require_same_types(features: pa.Table, labels: pa.Table, names: Sequence[str]) -> None:
    types: list[tuple[str, pa.DataType, pa.DataType]] = [(name, features[name].type, labels[name].type) for name in names]
    problems = [f"{name}: {theirs} in labels.sql, {ours} in features.sql" for name, ours, theirs in types if ours != theirs]
    if problems:
        raise RefusedError("labels.sql: the row key has other types than in features.sql", problems, "Cast these columns.")
