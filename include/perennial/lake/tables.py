"""Reads Iceberg tables without a JVM, and the record of each partition in the commits of Spark, the only writer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from perennial.errors import RefusedError
from perennial.lake.parts import is_read_at_once
from perennial.lake.sample import SAMPLE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

    from perennial.lake.catalog import LakeCatalog

PROPERTY = "perennial."
DATES_AT_ONCE = 7
"""Dates that a RowsReader reads ahead: with a window of four weeks, it holds a fifth more rows in memory."""


@dataclass(frozen=True, slots=True)
class Partition:
    """
    The record of one partition in a commit: its fingerprint, the digest of its content, its number of rows.

    `schema` is the number (Iceberg's schema id) of the columns with which its rows were written.
    `merged` names number fields of which two values become one as 32-bit floats, with such values.
    """

    key: str
    digest: str
    rows: int
    quarantined: int = 0
    schema: int | None = None
    merged: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def property(self, day: str) -> tuple[str, str]:
        """Return the snapshot property (name, value) that records this partition in a commit."""
        stored = {name: value for name, value in asdict(self).items() if value or name != "merged"}
        return f"{PROPERTY}{day}", json.dumps(stored, sort_keys=True, separators=(",", ":"))


def refuse_changed(held: Mapping[str, str], made: Mapping[str, Partition], what: str) -> None:
    """
    Refuse partitions whose content differs from before although nothing that decides them has changed.

    :param held: by day, the digest that the table holds under the same fingerprint
    """
    changed = [
        f"{day}: digest {made[day].digest[:12]}, before {digest[:12]}"
        for day, digest in sorted(held.items())
        if day in made and made[day].digest != digest
    ]
    if changed:
        raise RefusedError(
            f"{what}: the same inputs give another result",
            changed,
            "The table was not changed. Look for anything that its dates do not decide alone: reads that are not bounded by date "
            "(further back than training.lookback_days, or later than the date), the order of rows, first(), sums of doubles.",
        )


WITHDRAWN = Partition("", "", 0)
"""The record of a withdrawn partition in a commit: a refused drop replaced its drop, or its date became a rest date."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A table at one snapshot: its partitions by day (ISO date, or 'reference'), and the addresses to read exactly these."""

    name: str
    metadata_location: str | None
    snapshot_id: int | None
    partitions: dict[str, Partition]
    reshaped: frozenset[str] = frozenset()
    """Days whose rows were written before the table's columns changed: a column that is new or retyped is null there."""

    columns: tuple[str, ...] = ()
    """The names of the table's columns, in order."""

    def get(self, day: date) -> Partition | None:
        """Return the partition of a day, or None."""
        return self.partitions.get(day.isoformat())

    def get_complete(self, day: date) -> Partition | None:
        """Return the partition of a day if its rows were written with the table's present columns, or None."""
        return None if day.isoformat() in self.reshaped else self.get(day)


def _metastore_uri() -> str:
    # Spark jobs import this module, and their environment lacks pydantic-settings.
    from perennial.settings import get_settings

    return get_settings().metastore_uri


class Tables:
    """The tables of one pipeline, `<database>.<table>` in the Hive Metastore."""

    def __init__(self, database: str) -> None:
        self.database = database

    @cached_property
    def _catalog(self) -> LakeCatalog:
        from perennial.lake.catalog import LakeCatalog

        return LakeCatalog("ice", uri=_metastore_uri())

    def at_one_moment(self) -> Tables:
        """Return the same tables, but read the state of each only once: for a group of queries that change nothing."""
        return _CachedTables(self.database)

    def _load(self, table: str) -> Table:
        return self._catalog.load_table((self.database, table))

    def state(self, table: str) -> TableState:
        """Return the state of a table; a table that does not exist yet has no partitions."""
        from pyiceberg.exceptions import NoSuchTableError
        from thrift.Thrift import TApplicationException

        from perennial.lake.files import check_metadata

        name = f"{self.database}.{table}"
        try:
            loaded = self._load(table)
        except NoSuchTableError:
            return TableState(name, None, None, {})
        except TApplicationException as error:
            raise RefusedError(
                f"{name}: the metastore at {_metastore_uri()} does not support a call that Spark's client needs",
                [str(error)],
                "Use a Hive metastore of version 2.3, 3.1 or 4.0.0: later versions have removed the call.",
            ) from error
        check_metadata(name, loaded.metadata)
        snapshot = loaded.current_snapshot()
        if snapshot is None:
            return TableState(name, loaded.metadata_location, None, {})
        partitions, reshaped = read_partitions(loaded.metadata, snapshot)
        columns = tuple(column.name for column in loaded.schema().fields)
        return TableState(name, loaded.metadata_location, snapshot.snapshot_id, partitions, reshaped, columns)


class _CachedTables(Tables):
    def __init__(self, database: str) -> None:
        super().__init__(database)
        self._states: dict[str, TableState] = {}

    @cached_property
    def _entries(self) -> dict[str, Any]:
        return self._catalog.read_entries(self.database)

    def _load(self, table: str) -> Table:
        from pyiceberg.exceptions import NoSuchTableError

        if table not in self._entries:
            raise NoSuchTableError(f"{self.database}.{table}")
        return self._catalog.open_entry(self._entries[table])

    def at_one_moment(self) -> Tables:
        return self

    def state(self, table: str) -> TableState:
        if table not in self._states:
            self._states[table] = super().state(table)
        return self._states[table]


def read_partitions(metadata: TableMetadata, snapshot: Snapshot | None) -> tuple[dict[str, Partition], frozenset[str]]:
    """
    Return the partitions of a snapshot, and the days that were reshaped.

    It walks the snapshot's ancestors, newest first: the most recent snapshot that mentions a partition wins.

    Rows that were written with other columns than the present ones no longer match their fingerprint:
    a column that was dropped and added again is null in them.
    Therefore the partition keeps its rows but loses its fingerprint and counts as stale. Its digest names the remaining content.
    """
    schemas = {schema.schema_id: schema for schema in metadata.schemas}
    current = schemas[metadata.current_schema_id]
    partitions: dict[str, Partition] = {}
    reshaped: set[str] = set()
    while snapshot is not None:
        for name, value in (snapshot.summary.additional_properties if snapshot.summary else {}).items():
            day = name.removeprefix(PROPERTY)
            if not name.startswith(PROPERTY) or day in partitions:
                continue
            partitions[day] = partition = Partition(**json.loads(value))
            # Commits of earlier versions do not record their columns: they are those of the snapshot itself.
            number = snapshot.schema_id if partition.schema is None else partition.schema
            written = schemas.get(number) if number is not None else None
            if partition != WITHDRAWN and number != current.schema_id and not _is_same(written, current):
                partitions[day] = replace(partition, key="", digest=_digest_of_rest(partition.digest, written, current))
                reshaped.add(day)
        parent = snapshot.parent_snapshot_id
        snapshot = metadata.snapshot_by_id(parent) if parent is not None else None
    return {day: partition for day, partition in partitions.items() if partition != WITHDRAWN}, frozenset(reshaped)


def _is_same(written: Schema | None, current: Schema) -> bool:
    """Return whether two schemas have the same columns in the same order; a schema that was cleaned up (None) differs."""
    return written is not None and [field.field_id for field in written.fields] == [field.field_id for field in current.fields]


def _digest_of_rest(digest: str, written: Schema | None, current: Schema) -> str:
    """Return a digest of rows that were written with other columns, as they read with the present columns."""
    remaining = {field.field_id for field in written.fields} if written is not None else set()
    columns = [[field.name, str(field.field_type), field.field_id in remaining] for field in current.fields]
    return sha256(json.dumps([digest, columns], separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _HeldRows:
    """The part of one table that a reader holds: some columns of some days at one snapshot."""

    place: tuple[str, int, tuple[str, ...]]
    days: Set[date] = frozenset()
    rows: pa.Table | None = None


class RowsReader:
    """
    A reader of rows by date that keeps the rows of the last call: the next call reads only the other dates.

    :param ahead: number of further dates to read after the last one, for calls that advance date by date:
        opening a table again for each date costs more than reading its rows. Fewer are read if the commits record
        more rows of them than are read at once.
    """

    def __init__(self, ahead: int = 0) -> None:
        self._ahead = ahead
        self._held: dict[str, _HeldRows] = {}
        self._counts: dict[tuple[str, int], Mapping[str, int]] = {}

    def read(self, metadata_location: str, snapshot_id: int, days: Iterable[date], columns: Sequence[str]) -> pa.Table:
        """Return the same rows as `read_rows`."""
        import pyarrow as pa

        table, place, wanted = metadata_location.rpartition("/")[0], (metadata_location, snapshot_id, tuple(columns)), set(days)
        held = self._held.get(table)
        if held is None or held.place != place:
            held = _HeldRows(place)
        missing = wanted - held.days
        if missing or held.rows is None:
            last = max(wanted)
            kept = {day for day in held.days if day in wanted or day > last}
            missing |= self._choose_ahead(metadata_location, snapshot_id, last) - kept
            read = read_rows(metadata_location, snapshot_id, missing, columns)
            rows = read if held.rows is None else pa.concat_tables([of_days(held.rows, kept), read])
            held = _HeldRows(place, kept | missing, rows)
        self._held[table] = held
        return of_days(held.rows, wanted)

    def _choose_ahead(self, metadata_location: str, snapshot_id: int, last: date) -> set[date]:
        """Return the dates to read ahead after the last one."""
        ahead, rows = set[date](), 0
        for after in range(1, self._ahead + 1):
            day = last + timedelta(days=after)
            rows += self._count(metadata_location, snapshot_id).get(day.isoformat(), 0)
            if not is_read_at_once(rows):
                break
            ahead.add(day)
        return ahead

    def _count(self, metadata_location: str, snapshot_id: int) -> Mapping[str, int]:
        """Return the rows of each date as the commits of a table record them."""
        place = metadata_location, snapshot_id
        if place not in self._counts:
            from perennial.lake.files import open_table

            metadata = open_table(metadata_location).metadata
            partitions, _ = read_partitions(metadata, metadata.snapshot_by_id(snapshot_id))
            self._counts[place] = {day: partition.rows for day, partition in partitions.items()}
        return self._counts[place]


def of_days(rows: pa.Table, days: Iterable[date]) -> pa.Table:
    """Return the rows of some dates."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.filter(pc.is_in(rows["date"], value_set=pa.array(sorted(days), type=pa.date32())))


def read_rows(
    metadata_location: str,
    snapshot_id: int,
    days: Iterable[date],
    columns: Sequence[str],
    day_column: str = "date",
    *,
    among: tuple[int, int] | None = None,
) -> pa.Table:
    """
    Return the given columns of the given days at exactly one snapshot, unordered.

    It needs only the object store and no metastore, so training pods can use it.

    :param among: a range of the column SAMPLE, without its end: only its rows
    """
    import pyarrow as pa
    from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, In, LessThan

    from perennial.lake.files import open_table

    table = open_table(metadata_location)
    wanted = sorted({day.isoformat() for day in days})
    snapshot = table.snapshot_by_id(snapshot_id)
    number = None if snapshot is None else snapshot.schema_id
    present = table.schema() if number is None else table.schemas()[number]
    if missing := sorted(set(columns) - set(present.column_names)):
        raise RefusedError(
            f"{table.location().rpartition('/')[2]}: its rows lack columns of the present pipeline.yaml",
            missing,
            "Run a date: analyse adds them.",
        )
    selected: BooleanExpression = In(day_column, wanted)  # type: ignore[arg-type, call-arg]
    if among is not None:
        begin, end = GreaterThanOrEqual(SAMPLE, among[0]), LessThan(SAMPLE, among[1])  # type: ignore[arg-type, call-arg]
        selected = And(selected, begin, end)
    rows = table.scan(
        row_filter=selected,
        selected_fields=tuple(columns),
        snapshot_id=snapshot_id,
    ).to_arrow()
    # pyiceberg gives texts another type if a file lacks the column, or if there are no rows.
    return rows.cast(pa.schema([f.with_type(pa.string()) if pa.types.is_large_string(f.type) else f for f in rows.schema]))
