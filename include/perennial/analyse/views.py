"""What a query may see: the clean tables, cut to the dates of the work, and the view `dates`."""

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
    """The rows of `dates`, and the first and the last clean date that may be seen."""

    dates: tuple[tuple[date, date], ...]
    first: date
    last: date


def range_of_dates(days: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return what analyses of these dates see: each knows its own data, so its as_of is the midnight after it."""
    wanted = sorted(date.fromisoformat(day) for day in days)
    return VisibleRange(tuple((day, day + _DAY) for day in wanted), wanted[0] - _DAY * lookback_days, wanted[-1])


def range_of_features(days: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return what features of these dates see: their own data, and lookups as of the midnight before it."""
    wanted = sorted(date.fromisoformat(day) for day in days)
    return VisibleRange(tuple((day, day) for day in wanted), wanted[0] - _DAY * lookback_days, wanted[-1])


def range_of_labels(days: Iterable[str], lookback_days: int, known_after_days: int) -> VisibleRange:
    """Return what labels of these dates see: the days after it too, up to its as_of, the midnight at which they are known."""
    wanted, later = sorted(date.fromisoformat(day) for day in days), _DAY * known_after_days
    dates = tuple((day, day + later + _DAY) for day in wanted)
    return VisibleRange(dates, wanted[0] - _DAY * lookback_days, wanted[-1] + later)


def range_of_lookups(as_ofs: Iterable[str], lookback_days: int) -> VisibleRange:
    """Return what lookups of these midnights see: the days before, and nothing of the day that begins."""
    wanted = sorted(date.fromisoformat(as_of) for as_of in as_ofs)
    return VisibleRange(tuple((as_of - _DAY, as_of) for as_of in wanted), wanted[0] - _DAY * lookback_days, wanted[-1] - _DAY)


class CleanTables:
    """The clean tables at exactly the snapshots whose digests are in the keys, read once for all queries of the job."""

    def __init__(self, spark: SparkSession, database: str, tables: Mapping[str, CleanTable], sights: list[VisibleRange]) -> None:
        self._spark = spark
        self._dated = {name: bool(table.dated) for name, table in tables.items()}
        self._rows: dict[str, DataFrame] = {}
        self._shown: VisibleRange | None = None
        first, last = min(sight.first for sight in sights), max(sight.last for sight in sights)
        for name, table in tables.items():
            rows = read_table(spark, table_name(database, table.table), table.snapshot_id)
            self._rows[name] = (_between(rows, first, last) if table.dated else rows).persist()

    @property
    def views(self) -> tuple[str, ...]:
        """Return the names that a query may read."""
        return (DATES, *self._rows)

    def show(self, sight: VisibleRange) -> None:
        """Replace the views that the next query sees, unless they show that already."""
        if sight == self._shown:
            return
        for name, rows in self._rows.items():
            visible = _between(rows, sight.first, sight.last) if self._dated[name] else rows
            visible.createOrReplaceTempView(name)
        dates = ", ".join(f"({date_literal(day)}, {date_literal(as_of)})" for day, as_of in sight.dates)
        # Literals, which Spark's planner knows entirely. S608: they are dates.
        self._spark.sql(f"SELECT * FROM VALUES {dates} AS dates(date, as_of)").createOrReplaceTempView(DATES)  # noqa: S608
        self._shown = sight

    def of_days(self, name: str, days: Iterable[str]) -> DataFrame:
        """Return the rows of some days of a source."""
        return self._rows[name].where(days_filter("date", sorted(days)))


def _between(rows: DataFrame, first: date, last: date) -> DataFrame:
    return rows.where(f"date BETWEEN {date_literal(first)} AND {date_literal(last)}")
