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


@dataclass(frozen=True, slots=True)
class PandasStep:
    """
    A cleaning step in Python, `sources/<name>.py`: its text, and the versions of the libraries that it runs with.

    :param time_zone: the zone whose clock its timestamps show
    """

    source: str
    libraries: Mapping[str, str]
    time_zone: str


@dataclass(frozen=True, slots=True)
class FileToClean:
    """One file of a drop: its name in the drop, the address of its bytes, and the number of rows that collect counted."""

    name: str
    uri: str
    rows: int


@dataclass(frozen=True, slots=True)
class DropToClean:
    """
    One drop.

    :param key: fingerprint of the partition that the drop becomes
    :param refusal: address at which to record that its rows are refused
    :param header: columns of its files, in order
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
    :param sql: the text of `sources/<name>.sql`; it is None if `step` is the cleaning step, or if there is none
    :param days: drops by day (ISO, or `reference`)
    :param held: those of these days that the table holds already
    :param same: by day, the digest that the table holds under the same fingerprint: the new digest must be equal
    :param withdraw: days to remove from the table
    """

    name: str
    table: str
    columns: Sequence[tuple[str, Rules]]
    key: Sequence[str]
    max_quarantine_share: float
    sql: str | None
    days: Mapping[str, DropToClean]
    held: Sequence[str]
    same: Mapping[str, str]
    withdraw: Sequence[str]
    step: PandasStep | None = None


@dataclass(frozen=True, slots=True)
class CleanJob:
    """One job of clean."""

    database: str
    tables: Sequence[TableToClean]

    def to_json(self) -> Json:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CleanJob:
        """Return a stored job."""
        return cls(stored["database"], [_read_table(**table) for table in stored["tables"]])


def _read_table(
    columns: Sequence[Any], days: Mapping[str, Any], step: Mapping[str, Any] | None = None, **others: Any
) -> TableToClean:
    return TableToClean(
        step=None if step is None else PandasStep(**step),
        columns=[(name, Rules(**rules)) for name, rules in columns],
        days={day: _read_drop(**drop) for day, drop in days.items()},
        **others,
    )


def _read_drop(files: Sequence[Any], **others: Any) -> DropToClean:
    return DropToClean(files=[FileToClean(**file) for file in files], **others)
