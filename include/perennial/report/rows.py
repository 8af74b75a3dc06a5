"""The rows of dates, read in parts: a few small dates at once, or a part of a big one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from perennial.config.pipeline import Pipeline
from perennial.lake.labelled import join_labels, label_columns
from perennial.lake.lake import Lake
from perennial.lake.parts import is_read_at_once, ranges
from perennial.lake.tables import TableState, of_days, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

DAYS_AT_ONCE = 31


@dataclass(frozen=True, slots=True)
class DayRows:
    """Rows of one date, and those of them whose label is known."""

    rows: pa.Table
    known: pa.Table


def rows_by_day(lake: Lake, wanted: Sequence[date]) -> Iterator[tuple[date, Iterator[DayRows]]]:
    """Yield each date that has features, and its rows in parts, which must be read before the next date."""
    state = lake.tables.state("features")
    rows = {day: partition.rows for day in wanted if (partition := state.get_complete(day)) is not None}
    reader = _Reader(lake, state)
    for batch in _batches(rows):
        if is_read_at_once(sum(rows[day] for day in batch)):
            found = reader.read(batch)
            for day in batch:
                yield day, iter([DayRows(*(of_days(table, [day]).combine_chunks() for table in (found.rows, found.known)))])
        else:
            yield batch[0], (reader.read(batch, among) for among in ranges(rows[batch[0]]))


def _batches(rows: Mapping[date, int]) -> Iterator[list[date]]:
    """Divide dates into those that are read at once: a month of small ones at most, or one big one."""
    batch: list[date] = []
    for day in rows:
        if batch and (len(batch) == DAYS_AT_ONCE or not is_read_at_once(sum(rows[other] for other in (*batch, day)))):
            yield batch
            batch = []
        batch.append(day)
    if batch:
        yield batch


class _Reader:
    def __init__(self, lake: Lake, state: TableState) -> None:
        pipeline = lake.pipeline
        inputs, label = pipeline.inputs, pipeline.label
        self._state = state
        self._labels = lake.tables.state("labels") if label.known_after_days else None
        of_label = [label.column] if self._labels is None else pipeline.row_key
        self._columns = sorted({"date", *inputs.numbers, *inputs.texts, *of_label})
        self._pipeline = pipeline
        # Ignore labels of later dates: they were computed when label.known_after_days was lower, by that earlier definition.
        self._known_until = pipeline.calendar.labelled_until(max(map(date.fromisoformat, state.partitions), default=date.max))

    def read(self, days: Sequence[date], among: tuple[int, int] | None = None) -> DayRows:
        rows = read_rows(self._state.metadata_location or "", self._state.snapshot_id or 0, days, self._columns, among=among)
        if self._labels is None:
            return DayRows(rows, rows)
        known = [day for day in days if day <= self._known_until]
        return DayRows(rows, _join_labels(self._labels, rows, known, self._pipeline, among))


def _join_labels(
    state: TableState, rows: pa.Table, days: Sequence[date], pipeline: Pipeline, among: tuple[int, int] | None
) -> pa.Table:
    """Return the rows whose labels are known, with their labels."""
    import pyarrow as pa

    label, row_key = pipeline.label.column, pipeline.row_key
    known = [day for day in days if state.get_complete(day) is not None]
    if not known:
        return rows.slice(0, 0).append_column(label, pa.nulls(0))
    columns = label_columns(row_key, label)
    read = read_rows(state.metadata_location or "", state.snapshot_id or 0, known, columns, among=among)
    return join_labels(rows, read, row_key, label).table
