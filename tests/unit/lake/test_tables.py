"""Partitions as a table's commits record them, and results that are made again under the same key."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from socket import SHUT_RDWR
from typing import Any

import pytest
from hive_metastore import ThriftHiveMetastore, ttypes
from lab import Lab
from pyiceberg.table.metadata import TableMetadataV2
from thrift.server.TServer import TThreadedServer
from thrift.transport.TSocket import TServerSocket, TSocket

from perennial.errors import RefusedError
from perennial.lake.tables import WITHDRAWN, Partition, Tables, TableState, read_partitions, refuse_changed

Columns = tuple[tuple[int, str, str], ...]


def test_a_metastore_without_a_call_that_spark_needs_is_refused_with_the_versions_that_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hive 4.0.1 removed `get_table`, which the clients of Spark 4.1 and pyiceberg call for every table."""
    processor = ThriftHiveMetastore.Processor(None)
    del processor._processMap["get_table"]
    with (
        serving(processor, monkeypatch) as port,
        pytest.raises(
            RefusedError, match=rf"127\.0\.0\.1:{port} does not support a call .*get_table.* version 2\.3, 3\.1 or 4\.0\.0"
        ),
    ):
        Tables("main__shop").state("features")


class Entries:
    """A metastore with some tables, and the calls that it got."""

    def __init__(self, tables: dict[str, str]) -> None:
        self.calls: list[str] = []
        self._tables = {
            name: ttypes.Table(dbName="d", tableName=name, parameters={"table_type": "ICEBERG", "metadata_location": address})
            for name, address in tables.items()
        }

    def get_all_tables(self, database: str) -> list[str]:
        self.calls.append("get_all_tables")
        return list(self._tables)

    def get_table_objects_by_name(self, database: str, names: list[str]) -> list[ttypes.Table]:
        self.calls.append("get_table_objects_by_name")
        return [self._tables[name] for name in names]

    def get_table(self, dbname: str, tbl_name: str) -> ttypes.Table:
        self.calls.append("get_table")
        if tbl_name not in self._tables:
            raise ttypes.NoSuchObjectException(tbl_name)
        return self._tables[tbl_name]


class Metastore(TThreadedServer):
    """A server that ends when its socket is closed: Thrift's own would then log an error in an endless loop."""

    def serve(self) -> None:
        while client := self._accepted():
            threading.Thread(target=self.handle, args=(client,), daemon=True).start()

    def _accepted(self) -> TSocket | None:
        try:
            return self.serverTransport.accept()
        except OSError:
            return None


@contextmanager
def serving(processor: ThriftHiveMetastore.Processor, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Answer on a port, to which clients are directed."""
    socket = TServerSocket("127.0.0.1", 0)
    socket.listen()
    port = socket.handle.getsockname()[1]
    thread = threading.Thread(target=Metastore(processor, socket).serve)
    thread.start()
    monkeypatch.setenv("PERENNIAL_METASTORE_URI", f"thrift://127.0.0.1:{port}")
    try:
        yield port
    finally:
        socket.handle.shutdown(SHUT_RDWR)
        thread.join()
        socket.close()


def test_at_one_moment_all_tables_are_found_by_two_calls_and_have_the_same_states(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("features", "lookup_machine_rates")
    metastore = Entries({name: str(lab.lake.tables.state(name).metadata_location) for name in names})
    with serving(ThriftHiveMetastore.Processor(metastore), monkeypatch):
        alone = {name: Tables("d").state(name) for name in (*names, "missing")}
        assert metastore.calls == ["get_table"] * 3
        at_one_moment = Tables("d").at_one_moment()
        assert {name: at_one_moment.state(name) for name in (*names, "missing")} == alone
    assert metastore.calls[3:] == ["get_all_tables", "get_table_objects_by_name"]
    assert [state.snapshot_id is not None for state in alone.values()] == [True, True, False]


def test_at_one_moment_a_database_without_tables_is_empty(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    metastore = Entries({})
    with serving(ThriftHiveMetastore.Processor(metastore), monkeypatch):
        assert Tables("d").at_one_moment().state("features") == TableState("d.features", None, None, {})
    assert metastore.calls == ["get_all_tables"]


def test_another_result_of_the_same_inputs_is_refused() -> None:
    made = {"2026-03-01": Partition("k", "a" * 64, 1), "2026-03-02": Partition("k", "b" * 64, 1)}
    refuse_changed({"2026-03-01": "a" * 64}, made, "features.sql")
    refuse_changed({}, made, "features.sql")
    with pytest.raises(
        RefusedError, match=r"features\.sql: the same inputs give another result: 2026-03-02: digest bbbbbbbbbbbb, before c"
    ):
        refuse_changed({"2026-03-01": "a" * 64, "2026-03-02": "c" * 64}, made, "features.sql")


def _metadata(*commits: tuple[Columns, dict[str, Partition]], then: Columns | None = None) -> Any:
    """Return a table's metadata: commits with the columns that each left (number, name, type), then columns without a commit."""
    shapes = [columns for columns, _ in commits] + ([then] if then else [])
    numbers = {shape: number for number, shape in enumerate(dict.fromkeys(shapes))}
    schemas = [
        {
            "type": "struct",
            "schema-id": number,
            "fields": [{"id": identity, "name": name, "type": kind, "required": False} for identity, name, kind in shape],
        }
        for shape, number in numbers.items()
    ]
    snapshots = [
        {
            "snapshot-id": at + 1,
            "parent-snapshot-id": at or None,
            "sequence-number": at + 1,
            "timestamp-ms": at,
            "manifest-list": f"s3://lake/{at}.avro",
            "schema-id": numbers[columns],
            "summary": {"operation": "overwrite", **dict(partition.property(day) for day, partition in partitions.items())},
        }
        for at, (columns, partitions) in enumerate(commits)
    ]
    return TableMetadataV2.model_validate(
        {
            "format-version": 2,
            "table-uuid": str(uuid.uuid4()),
            "location": "s3://lake",
            "last-sequence-number": len(commits),
            "last-updated-ms": 10,
            "last-column-id": 9,
            "schemas": schemas,
            "current-schema-id": numbers[shapes[-1]],
            "partition-specs": [{"spec-id": 0, "fields": []}],
            "default-spec-id": 0,
            "last-partition-id": 999,
            "sort-orders": [{"order-id": 0, "fields": []}],
            "default-sort-order-id": 0,
            "snapshots": snapshots,
            "current-snapshot-id": len(commits),
            "refs": {},
        }
    )


A: Columns = ((1, "date", "date"), (2, "x", "double"))
WITHOUT_X: Columns = ((1, "date", "date"),)
X_IS_BACK: Columns = ((1, "date", "date"), (3, "x", "double"))
ONE, TWO = "2026-03-01", "2026-03-02"


def _read(*commits: Any, then: Any = None) -> tuple[dict[str, str], set[str]]:
    """Return the key of each partition, and the reshaped days."""
    metadata = _metadata(*commits, then=then)
    partitions, reshaped = read_partitions(metadata, metadata.snapshot_by_id(metadata.current_snapshot_id))
    return {day: partition.key for day, partition in partitions.items()}, set(reshaped)


def _partition(key: str, schema: int | None = None) -> Partition:
    return Partition(key, "d" * 64, 5, schema=schema)


def test_partition_written_with_the_columns_of_now_keeps_its_key() -> None:
    assert _read((A, {ONE: _partition("k1")}), (A, {TWO: _partition("k2", 0)})) == ({ONE: "k1", TWO: "k2"}, set())


@pytest.mark.parametrize("now", [WITHOUT_X, X_IS_BACK, A[::-1], (*A, (3, "y", "int"))], ids=["dropped", "back", "moved", "added"])
def test_partition_written_with_other_columns_has_no_key_that_holds(now: Columns) -> None:
    assert _read((A, {ONE: _partition("k1", 0)}), (now, {TWO: _partition("k2", 1)})) == ({ONE: "", TWO: "k2"}, {ONE})


def test_change_of_columns_whose_rows_never_came_leaves_no_key_that_holds() -> None:
    """As after a kill between the two commits of a job."""
    assert _read((A, {ONE: _partition("k1", 0)}), then=X_IS_BACK) == ({ONE: ""}, {ONE})


def test_rows_that_a_job_wrote_with_columns_which_another_one_changed_meanwhile_are_stale() -> None:
    """The snapshot's own columns are those that the other job left."""
    assert _read((A, {}), (X_IS_BACK, {ONE: _partition("k1", 0)})) == ({ONE: ""}, {ONE})


def test_commits_of_earlier_versions_name_no_columns_and_those_of_their_snapshot_count() -> None:
    assert _read((A, {ONE: _partition("k1")}), (X_IS_BACK, {TWO: _partition("k2")})) == ({ONE: "", TWO: "k2"}, {ONE})


def test_what_is_left_of_a_partition_has_another_digest() -> None:
    metadata = [_metadata((A, {ONE: _partition("k1")}), then=then) for then in (A, WITHOUT_X, X_IS_BACK)]
    digests = {read_partitions(one, one.snapshot_by_id(1))[0][ONE].digest for one in metadata}
    assert len(digests) == 3


def test_withdrawn_partition_is_none_whatever_its_columns() -> None:
    assert _read((A, {ONE: _partition("k1")}), (A, {ONE: WITHDRAWN}), then=WITHOUT_X) == ({}, set())


def test_rows_of_other_columns_are_not_whole() -> None:
    state = TableState("features", "s3://lake/1.json", 1, {ONE: _partition(""), TWO: _partition("k2")}, frozenset({ONE}))
    assert state.get(date(2026, 3, 1)) is not None
    assert [state.get_complete(date(2026, 3, day)) is not None for day in (1, 2, 3)] == [False, True, False]
