"""The views that a query may read: the clean tables, cut to the dates of its batch, and the view `dates`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession

from perennial.analyse.job_file import CleanTable
from perennial.spark.sql import date_literal
from perennial.spark.tables import days_filter, read_table, table_name

_DAY = timedelta(days=1)
DATES = "dates"


@dataclass(frozen=True, slots=True)
class VisibleRange:
    """The rows of the view `dates`, and the first and last clean date that a query may see."""

    dates: tuple[tuple[date, date], ...]
    first: date
    last: date


def range_of_dates(days: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return the visible range of analyses: each date knows its own data, so its as_of is the midnight after it."""
    wanted = sorted(date.fromisoformat(day) for day in days)
    return VisibleRange(tuple((day, day + _DAY) for day in wanted), wanted[0] - _DAY * lookback_days, wanted[-1])


def range_of_features(days: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return the visible range of features: their own date's data, and lookups as of the midnight before it."""
    wanted = sorted(date.fromisoformat(day) for day in days)
    return VisibleRange(tuple((day, day) for day in wanted), wanted[0] - _DAY * lookback_days, wanted[-1])


def range_of_labels(days: Iterable[str], lookback_days: int, known_after_days: int) -> VisibleRange:
    """Return the visible range of labels: later days too, up to as_of, the midnight at which the labels are known."""
    wanted, later = sorted(date.fromisoformat(day) for day in days), _DAY * known_after_days
    dates = tuple((day, day + later + _DAY) for day in wanted)
    return VisibleRange(dates, wanted[0] - _DAY * lookback_days, wanted[-1] + later)


def range_of_lookups(as_ofs: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return the visible range of lookups as of these midnights: the days before, without the day that begins."""
    wanted = sorted(date.fromisoformat(as_of) for as_of in as_ofs)
    return VisibleRange(tuple((as_of - _DAY, as_of) for as_of in wanted), wanted[0] - _DAY * lookback_days, wanted[-1] - _DAY)


class CleanTables:
    """The clean tables at exactly the snapshots whose digests are in the fingerprints, read once for all queries of the job."""

    def __init__(self, spark: SparkSession, database: str, tables: Mapping[str, CleanTable], ranges: list[VisibleRange]) -> None:
        self._spark = spark
        self._dated = {name: bool(table.dated) for name, table in tables.items()}
        self._rows: dict[str, DataFrame] = {}
        self._shown: VisibleRange | None = None
        first, last = min(visible.first for visible in ranges), max(visible.last for visible in ranges)
        for name, table in tables.items():
            rows = read_table(spark, table_name(database, table.table), table.snapshot_id)
            self._rows[name] = (_between(rows, first, last) if table.dated else rows).persist()

    @property
    def views(self) -> tuple[str, ...]:
        """Return the names of the views that a query may read."""
        return (DATES, *self._rows)

    def show(self, visible: VisibleRange) -> None:
        """Replace the views for the next query, unless they show that range already."""
        if visible == self._shown:
            return
        for name, rows in self._rows.items():
            cut = _between(rows, visible.first, visible.last) if self._dated[name] else rows
            cut.createOrReplaceTempView(name)
        dates = ", ".join(f"({date_literal(day)}, {date_literal(as_of)})" for day, as_of in visible.dates)
        # Spark's planner knows literals entirely. S608: the values are dates.
        self._spark.sql(f"SELECT * FROM VALUES {dates} AS dates(date, as_of)").createOrReplaceTempView(DATES)  # noqa: S608
        self._shown = visible

    def of_days(self, name: str, days: Iterable[str]) -> DataFrame:
        """Return the rows of some days of a source."""
        return self._rows[name].where(days_filter("date", sorted(days)))


def _between(rows: DataFrame, first: date, last: date) -> DataFrame:
    return rows.where(f"date BETWEEN {date_literal(first)} AND {date_literal(last)}")
