"""Reads rows of Iceberg tables, only the files of the dates and the columns that are asked for, and makes DataFrames of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from perennial.errors import RefusedError, did_you_mean
from perennial.lake.sample import SAMPLE
from perennial.lake.tables import TableState
from perennial.store.cgroups import find_memory

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyiceberg.table import StaticTable

MAX_UNMEASURED = 1_000_000
"""Rows up to which none are read to find out what a row takes: they take some hundred megabytes."""

MEASURED = 10_000
COPIES = 3
"""The memory of a DataFrame at its peak, in sizes of its rows: to read, sort and convert 3.3 million rows took 2.9."""


@dataclass(frozen=True)
class StoredRows:
    """
    The rows of a table that exists, at one snapshot.

    :param day_column: the column by which the table is partitioned; None for a table without dates
    """

    state: TableState
    day_column: str | None

    @cached_property
    def _table(self) -> StaticTable:
        from perennial.lake.files import open_table

        return open_table(str(self.state.metadata_location))

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns in the order of the table. SAMPLE is left out: only trainings use it."""
        return [name for name in self._table.schema().column_names if name != SAMPLE]

    def check_columns(self, columns: Sequence[str]) -> list[str]:
        """Return these names, each once; raise RefusedError with every name that is no column of the table."""
        wanted, known = list(dict.fromkeys(columns)), self.columns
        if unknown := [name for name in wanted if name not in known]:
            raise RefusedError(
                f"{self.state.name}: unknown columns",
                [f"{name!r}.{did_you_mean(name, known)}" for name in unknown],
                f"Its columns: {', '.join(known)}.",
            )
        return wanted

    def count_rows(self, days: Collection[date] | None, release: str | None = None) -> int:
        """Return the rows of some days (None: of all) as the commits record them; of a table of scores, those of a release."""
        wanted = None if days is None else {day.isoformat() for day in days}
        places = [(*place.partition("/"), partition.rows) for place, partition in self.state.partitions.items()]
        return sum(rows for day, _, by, rows in places if (wanted is None or day in wanted) and release in (None, by))

    def read(
        self, days: Collection[date] | None, columns: Sequence[str], order: Sequence[str], release: str | None = None
    ) -> pa.Table:
        """
        Return some columns of the rows of some days (None: of all), ordered by those columns of `order` that are among them.

        Only the files of these days are opened, and only these columns of them are read.

        :param release: of a table of scores, only the rows of this release
        :raises RefusedError: the rows would take more memory than this machine has
        """
        from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, In

        rows_of: BooleanExpression = AlwaysTrue()
        if days is not None and self.day_column is not None:
            rows_of = In(self.day_column, sorted(day.isoformat() for day in days))  # type: ignore[arg-type, call-arg]
        if release is not None:
            rows_of = And(rows_of, EqualTo("release", release))  # type: ignore[arg-type, call-arg]
        scan = self._table.scan(row_filter=rows_of, selected_fields=tuple(columns), snapshot_id=self.state.snapshot_id)
        if (count := self.count_rows(days, release)) > MAX_UNMEASURED:
            some = scan.update(limit=MEASURED).to_arrow().select(list(columns))
            check_memory(self.state.name, days, count, count * some.nbytes // max(some.num_rows, 1))
        rows = scan.to_arrow().select(list(columns))
        keys = [(name, "ascending") for name in dict.fromkeys(order) if name in columns]
        return rows.sort_by(keys) if keys else rows


def check_memory(name: str, days: Collection[date] | None, rows: int, size: int) -> None:
    """Refuse rows, `size` bytes of them, that do not fit into this machine's memory."""
    needed, held = COPIES * size, find_memory()
    if needed > held:
        dates = "" if days is None else f" of {len(days)} date{'s' if len(days) > 1 else ''}"
        raise RefusedError(
            f"Table {name}: {rows:,} rows{dates} would take about {needed / 1e9:,.1f} GB of memory, and this machine has "
            f"{held / 1e9:,.1f} GB",
            remedy="Choose fewer dates or columns.",
        )


def to_frame(rows: pa.Table, time_zone: str) -> pd.DataFrame:
    """Return rows as a DataFrame of pyarrow's types; timestamps keep their instants and get the pipeline's time zone."""
    import pandas as pd
    import pyarrow as pa

    fields = [field.with_type(_plain_type(field.type, time_zone)) for field in rows.schema]
    plain = rows.cast(pa.schema(fields)).replace_schema_metadata(None)
    frame: pd.DataFrame = plain.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _plain_type(kind: pa.DataType, time_zone: str) -> pa.DataType:
    """Return the type of a column for a person: pyiceberg gives texts another type if a file lacks the column."""
    import pyarrow as pa

    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, tz=time_zone)
    return kind
