"""Wide categories that a plan knows before the window is read, from some rows of its newest date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from perennial.config.candidates import Family, Logistic
from perennial.config.inputs import Inputs
from perennial.lake.lake import Lake
from perennial.lake.parts import ranges
from perennial.lake.tables import TableState, read_rows
from perennial.train.classes import choose_codes
from perennial.train.history import labels_state

MIN_ROWS = 65_536
"""Rows of a window below which bins take too little scratch, some 0.1 GB, to be worth the reading."""


def is_certain_of_codes(lake: Lake, settings: Family, rows: Mapping[date, int], window: Sequence[date]) -> bool:
    """
    Return whether a training is certain to have codes, and the estimate of what it takes depends on that.

    It does for `logistic`, which has no bins beside codes.

    :param rows: by date of window and holdout, the rows that its commit records
    """
    whole, max_rows = sum(rows[day] for day in window), lake.pipeline.training.max_rows
    if not isinstance(settings, Logistic) or whole < MIN_ROWS:
        return False
    if (max_rows is not None and max_rows < whole) or labels_state(lake) is not None:
        return False  # the training may leave out the rows that are read here
    return has_codes(lake.tables.state("features"), lake.pipeline.inputs, max(window), rows[max(window)])


def has_codes(features: TableState, inputs: Inputs, day: date, rows: int) -> bool:
    """
    Return whether the categories of some rows of a date are too wide for one-hot columns.

    Then those of every window with these rows are. False says nothing: other rows may have further classes.
    """
    import pyarrow.compute as pc

    if not inputs.one_hot or features.metadata_location is None or features.snapshot_id is None:
        return False
    table = read_rows(features.metadata_location, features.snapshot_id, [day], inputs.one_hot, among=ranges(rows)[0])
    sizes = {name: pc.count_distinct(table[name], mode="all").as_py() for name in inputs.one_hot}
    return bool(choose_codes(sizes, [name for name, size in sizes.items() if size > inputs.max_classes]))
