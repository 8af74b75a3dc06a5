"""The job file of a trial: one query or one source, on the rows of a few dates. Imports neither Spark nor the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perennial.analyse.job_file import AnalyseJob
from perennial.clean.job_file import CleanJob, TableToClean
from perennial.store.json_value import Json


@dataclass(frozen=True, slots=True)
class TrialTable:
    """
    The clean rows of a source or a reference: from its table, and from drops that the job cleans in memory.

    :param snapshot_id: the snapshot of the table that holds `held`; None if nothing is read from it
    :param held: partitions (ISO dates, or `reference`) to read from the table
    :param drops: the drops to clean; None if there are none
    :param rows: number of rows of both
    """

    table: str
    dated: bool
    snapshot_id: int | None
    held: Sequence[str]
    drops: TableToClean | None
    rows: int


@dataclass(frozen=True, slots=True)
class TrialJob:
    """
    One trial.

    :param result: address at which the job writes what it found
    :param source: the table to show; None if a query is shown
    :param queries: the query to show, as the only item of its kind; for labels with the features, whose types they repeat
    :param day: the day to show: a date, or for lookups a midnight
    :param max_rows: the number of rows to show
    :param many_rows: the number of rows from which one task should not hold most of them
    """

    result: str
    source: str | None
    day: str
    max_rows: int
    tables: Mapping[str, TrialTable]
    queries: AnalyseJob
    many_rows: int

    @property
    def is_big(self) -> bool:
        """Return whether it reads many rows."""
        return sum(table.rows for table in self.tables.values()) > self.many_rows

    def to_json(self) -> Json:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TrialJob:
        """Return a stored job."""
        return cls(
            result=stored["result"],
            source=stored["source"],
            day=stored["day"],
            max_rows=stored["max_rows"],
            tables={name: _read_table(**table) for name, table in stored["tables"].items()},
            queries=AnalyseJob.from_json(stored["queries"]),
            many_rows=stored["many_rows"],
        )


def _read_table(drops: Mapping[str, Any] | None, **others: Any) -> TrialTable:
    read = None if drops is None else CleanJob.from_json({"database": "", "time_zone": "UTC", "tables": [drops]}).tables[0]
    return TrialTable(drops=read, **others)
