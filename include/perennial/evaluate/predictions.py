"""The recorded predictions of a candidate, read part by part and matched with the rows of the holdout by row key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, BinaryIO

from perennial.errors import RefusedError
from perennial.evaluate.row_keys import find_duplicates, format_key, key_columns, keys
from perennial.models.metrics import Floats, Labels
from perennial.models.scoring import from_column, in_order
from perennial.tasks.task import LearningTask

if TYPE_CHECKING:
    import pyarrow as pa


class Predictions:
    """
    The predictions of one candidate, in the parts in which its trainer wrote them.

    :param file: an open Parquet file
    """

    def __init__(self, file: BinaryIO, row_key: Sequence[str], who: str, task: LearningTask) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(file)
        self._row_key = row_key
        self._who = who
        self._task = task
        self._next = 0
        self._rest = self._file.schema_arrow.empty_table()

    def match(self, rows: pa.Table, days: Sequence[date], *, is_range: bool) -> tuple[Labels, Floats]:
        """
        Return (y, p) of the next predictions in the order of the holdout's rows. Each row must be predicted exactly once.

        :param days: the dates of the rows, in order
        :param is_range: the rows are a part of one date, as the trainer wrote it
        """
        # A range without labelled rows has no part in the file: the next part is that of a later range.
        taken = self._rest.slice(0, 0) if is_range and not rows.num_rows else self._take(days, is_range=is_range)
        return match(rows, taken, self._row_key, self._who, self._task)

    def finish(self) -> None:
        """Refuse predictions of rows that are not in the holdout."""
        import pyarrow as pa

        rest = [self._rest, *(self._file.read_row_group(part) for part in range(self._next, self._file.num_row_groups))]
        foreign = keys(pa.concat_tables(rest), self._row_key)
        if foreign:
            raise RefusedError(
                f"Candidate {self._who!r}: it has predictions of {len(foreign)} rows more than the holdout has",
                [f"not in the holdout: {format_key(key, self._row_key)}" for key in foreign],
            )

    def _take(self, days: Sequence[date], *, is_range: bool) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = [self._rest]
        while self._next < self._file.num_row_groups and self._first_date(self._next) <= days[-1]:
            parts.append(self._file.read_row_group(self._next))
            self._next += 1
            if is_range:
                break
        table = pa.concat_tables(parts)
        is_taken = pc.is_in(table["date"], value_set=pa.array(days, table["date"].type))
        self._rest = table.filter(pc.invert(is_taken))
        return table.filter(is_taken)

    def _first_date(self, part: int) -> date:
        """Return the first date of a part. Every part has rows, so its statistics know it."""
        column = self._file.schema_arrow.get_field_index("date")
        first: date = self._file.metadata.row_group(part).column(column).statistics.min
        return first


def match(rows: pa.Table, predictions: pa.Table, row_key: Sequence[str], who: str, task: LearningTask) -> tuple[Labels, Floats]:
    """Return (y, p) of the predictions in the order of the holdout rows. Each row must be predicted exactly once."""
    ordered = in_order(predictions, row_key)
    if not all(_is_equal(ordered[name], rows[name]) for name in key_columns(row_key)):
        raise RefusedError(
            f"Candidate {who!r}: its predictions do not match the {rows.num_rows} holdout rows",
            _find_mismatches(rows, ordered, row_key),
        )
    y = ordered["y"].to_numpy().astype(task.label_type)
    try:
        p = from_column(ordered["p"], task.shape)
    except ValueError:
        raise RefusedError(f"Candidate {who!r}: its predictions are not of the classes of the label") from None
    if not task.are_valid(y, p):
        raise RefusedError(f"Candidate {who!r}: its predictions hold {task.invalid}")
    return y, p


def _is_equal(column: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Return whether two columns hold the same values. Builds of the trainer may write them with different types."""
    import pyarrow as pa

    try:
        return bool(column.cast(other.type).equals(other))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False


def _find_mismatches(rows: pa.Table, predictions: pa.Table, row_key: Sequence[str]) -> list[str]:
    predicted, expected = dict.fromkeys(keys(predictions, row_key)), dict.fromkeys(keys(rows, row_key))
    problems = [f"predicted twice: {format_key(key, row_key)}" for key in find_duplicates(predictions, row_key)]
    problems += [f"not predicted: {format_key(key, row_key)}" for key in expected if key not in predicted]
    problems += [f"not in the holdout: {format_key(key, row_key)}" for key in predicted if key not in expected]
    types = [(name, predictions[name].type, rows[name].type) for name in key_columns(row_key)]
    return problems or [f"{name}: type {theirs}, expected {ours}" for name, theirs, ours in types if theirs != ours]
