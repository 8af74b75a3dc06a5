"""The job file of clean: the tables to clean, with their drops and contracts. Imports neither Spark nor the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perennial.store.json_value import Json


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for the cells of a column: the part of the column's contract that decides which rows are good."""

    type: str
    required: bool
    range: Sequence[float] | None
    enum: Sequence[str | int] | None
    max_length: int
    null_text: str | None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class PandasStep:
    """A cleaning step in Python, `sources/<name>.py`: its text, and the versions of the libraries that it runs with."""

    source: str
    libraries: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """The dialect of a table's files, as in `csv` of pipeline.yaml."""

    delimiter: str
    quote: str | None
    escape: str | None
    encoding: str
    decimal: str


@dataclass(frozen=True, slots=True)
class FileToClean:
    """
    One file of a drop.

    :param name: its name in the drop
    :param uri: address of its bytes
    :param rows: number of rows that collect counted
    :param line_end: end of each of its lines, as collect found it
    :param unclear: positions of the rows that collect leaves to quarantine
    :param by_lines: whether each record is a line, so that several tasks can share the file
    """

    name: str
    uri: str
    rows: int
    line_end: str
    unclear: Sequence[int]
    by_lines: bool = False


@dataclass(frozen=True, slots=True)
class DropToClean:
    """
    One drop.

    :param key: fingerprint of the partition that the drop becomes
    :param refusal: address at which to record that its rows are refused
    :param header: names in the header of its files, in order
    """

    key: str
    refusal: str
    header: Sequence[str]
    files: Sequence[FileToClean]


@dataclass(frozen=True, slots=True)
class TableToClean:
    """
    One table.

    :param columns: pairs, in the order of the table, since canonical JSON sorts the names of an object
    :param header: by column, its name in the header
    :param sql: the text of `sources/<name>.sql`; it is None if `step` is the cleaning step, or if there is none
    :param days: drops by day (ISO, or `reference`)
    :param held: those of these days that the table holds already
    :param same: by day, the digest that the table holds under the same fingerprint: the new digest must be equal
    :param withdraw: days to remove from the table
    :param big: those of the days that have too many rows for one task
    """

    name: str
    table: str
    columns: Sequence[tuple[str, Rules]]
    header: Mapping[str, str]
    dialect: Dialect
    key: Sequence[str]
    max_quarantine_share: float
    sql: str | None
    days: Mapping[str, DropToClean]
    held: Sequence[str]
    same: Mapping[str, str]
    withdraw: Sequence[str]
    step: PandasStep | None = None
    big: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CleanJob:
    """One job of clean. Timestamps without a zone, and SQL, are in the time zone."""

    database: str
    time_zone: str
    tables: Sequence[TableToClean]

    def to_json(self) -> Json:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CleanJob:
        """Return a stored job."""
        return cls(stored["database"], stored["time_zone"], [_read_table(**table) for table in stored["tables"]])


def _read_table(
    columns: Sequence[Any],
    dialect: Mapping[str, Any],
    days: Mapping[str, Any],
    step: Mapping[str, Any] | None = None,
    **others: Any,
) -> TableToClean:
    return TableToClean(
        dialect=Dialect(**dialect),
        step=None if step is None else PandasStep(**step),
        columns=[(name, Rules(**rules)) for name, rules in columns],
        days={day: _read_drop(**drop) for day, drop in days.items()},
        **others,
    )


def _read_drop(files: Sequence[Any], **others: Any) -> DropToClean:
    return DropToClean(files=[FileToClean(**file) for file in files], **others)
