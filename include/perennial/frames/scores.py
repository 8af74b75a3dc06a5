"""The scores of rows, by date and release."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from perennial.errors import RefusedError, did_you_mean
from perennial.frames.read import StoredRows
from perennial.lake.lake import Lake
from perennial.score.plan import scorable_tables, scores_table

if TYPE_CHECKING:
    import pyarrow as pa


def score_rows(lake: Lake, bounds: tuple[date, date], release: str | None, table: str, columns: Sequence[str] | None) -> pa.Table:
    """Return the scores of a table's rows from the first to the last date; refuse a range without any."""
    keys, (first, last) = scorable_tables(lake), bounds
    if table not in keys:
        near = did_you_mean(table, keys).strip() or f"Choose {', '.join(keys)}."
        raise RefusedError(f"Pipeline {lake.pipeline.name!r}: the rows of {table!r} are never scored", remedy=near)
    state = lake.tables.state(scores_table(table))
    held = {(date.fromisoformat(day), by) for day, _, by in (place.partition("/") for place in state.partitions)}
    days = {day for day, by in held if first <= day <= last and release in (None, by)}
    if not days:
        by = f" by release {release}" if release else ""
        asked = f"{first}" if first == last else f"{first} to {last}"
        command = f"perennial score {lake.pipeline.name} --from {first} --to {last}"
        known = ", ".join(sorted({by for day, by in held if first <= day <= last}))
        raise RefusedError(
            f"Table {scores_table(table)!r} has no scores of {asked}{by}",
            [f"it has scores of these dates by {known}"] if known else [],
            f"Make them: `{command}`.",
        )
    stored = StoredRows(state, "date")
    wanted = stored.columns if columns is None else stored.check_columns(columns)
    return stored.read(days, wanted, ["date", "release", *keys[table]], release)
