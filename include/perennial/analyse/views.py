"""The views that a query may read: the clean tables, cut to the dates of its batch, and the view `dates`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession

from perennial.analyse.job_file import CleanTable
from perennial.analyse.visible import VisibleRange
from perennial.spark.sql import date_literal
from perennial.spark.tables import days_filter, read_table, table_name

DATES = "dates"
_BIG_SPLIT_BYTES = 8 * 1024 * 1024
"""About one file of a big date, some million rows. Iceberg's default of 128 MB puts all files of most dates into one task."""


class CleanTables:
    """The clean rows that a job reads, once for all its queries, and the views that show a query the dates it may see."""

    def __init__(
        self, spark: SparkSession, rows: Mapping[str, DataFrame], dated: Collection[str], *, is_big: bool = False
    ) -> None:
        self._spark = spark
        # To keep rows of a big date costs more than to read them again for each query.
        self._rows = rows if is_big else {name: table.persist() for name, table in rows.items()}
        self._dated = frozenset(dated)
        self._shown: VisibleRange | None = None

    @property
    def views(self) -> tuple[str, ...]:
        """Return the names of the views that a query may read."""
        return (DATES, *self._rows)

    def show(self, visible: VisibleRange) -> None:
        """Replace the views for the next query, unless they show that range already."""
        if visible == self._shown:
            return
        for name, rows in self._rows.items():
            cut = _between(rows, visible.first, visible.last) if name in self._dated else rows
            cut.createOrReplaceTempView(name)
        dates = ", ".join(f"({date_literal(day)}, {date_literal(as_of)})" for day, as_of in visible.dates)
        # Spark's planner knows literals entirely. S608: the values are dates.
        self._spark.sql(f"SELECT * FROM VALUES {dates} AS dates(date, as_of)").createOrReplaceTempView(DATES)  # noqa: S608
        self._shown = visible

    def of_days(self, name: str, days: Iterable[str]) -> DataFrame:
        """Return the rows of some days of a source."""
        return self._rows[name].where(days_filter("date", sorted(days)))


def read_clean_tables(
    spark: SparkSession,
    database: str,
    tables: Mapping[str, CleanTable],
    ranges: Sequence[VisibleRange],
    *,
    is_big: bool = False,
) -> CleanTables:
    """Return the clean tables at exactly the snapshots whose digests are in the fingerprints, cut to all these ranges."""
    first, last = min(visible.first for visible in ranges), max(visible.last for visible in ranges)
    split_bytes = _BIG_SPLIT_BYTES if is_big else None
    rows = {
        name: read_table(spark, table_name(database, table.table), table.snapshot_id, split_bytes)
        for name, table in tables.items()
    }
    dated = [name for name, table in tables.items() if table.dated]
    cut = {name: _between(table, first, last) if name in dated else table for name, table in rows.items()}
    return CleanTables(spark, cut, dated, is_big=is_big)


def _between(rows: DataFrame, first: date, last: date) -> DataFrame:
    return rows.where(f"date BETWEEN {date_literal(first)} AND {date_literal(last)}")
