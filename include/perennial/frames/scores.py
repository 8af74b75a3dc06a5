"""The scores of rows, by date and release."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from perennial.errors import RefusedError
from perennial.frames.read import StoredRows
from perennial.lake.lake import Lake
from perennial.score.plan import FEATURES, find_scorable

if TYPE_CHECKING:
    import pyarrow as pa


def score_rows(lake: Lake, bounds: tuple[date, date], release: str | None, table: str, columns: Sequence[str] | None) -> pa.Table:
    """Return the scores of a table's rows from the first to the last date; refuse a range without any."""
    scored, (first, last) = find_scorable(lake, table), bounds
    state = lake.tables.state(scored.scores)
    held = {(date.fromisoformat(day), by) for day, _, by in (place.partition("/") for place in state.partitions)}
    days = {day for day, by in held if first <= day <= last and release in (None, by)}
    if not days:
        by = f" by release {release}" if release else ""
        asked = f"{first}" if first == last else f"{first} to {last}"
        of = "" if scored.name == FEATURES else f" --table {scored.name}"
        command = f"perennial score {lake.pipeline.name} --from {first} --to {last}{of}"
        known = ", ".join(sorted({by for day, by in held if first <= day <= last}))
        raise RefusedError(
            f"Table {scored.scores!r} has no scores of {asked}{by}",
            [f"it has scores of these dates by {known}"] if known else [],
            f"Make them: `{command}`.",
        )
    stored = StoredRows(state, "date")
    wanted = stored.columns if columns is None else stored.check_columns(columns)
    return stored.read(days, wanted, ["date", "release", *scored.row_key], release)
