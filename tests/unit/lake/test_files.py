"""Tables whose metadata leads out of the lake, or names a class: no file outside is read and no module is imported."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session
from hive_metastore import ttypes
from lab import LAST, Lab
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.typedef import Record

from perennial.addresses import is_below
from perennial.errors import RefusedError
from perennial.lake import catalog
from perennial.lake.catalog import LakeCatalog
from perennial.lake.files import LakeFiles, open_table
from perennial.lake.tables import Tables, read_rows
from perennial.store.objects import split_uri

LAKE = "s3://perennial"


@pytest.mark.parametrize(
    "address",
    ["s3://perennial/x", "s3a://perennial/x", "s3a://perennial/warehouse/main__x.db/t/metadata/1-a.metadata.json"],
)
def test_addresses_in_the_lake(address: str) -> None:
    assert is_below(LAKE, address)
    assert is_below("s3a://perennial", address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "/etc/passwd",
        "file:///etc/passwd",
        "s3://perennial",
        "s3://perennial-2/x",
        "s3://other/perennial/x",
        "s3n://perennial/x",
        "S3://perennial/x",
        "s3://perennial/../other/x",
        "s3://perennial/./x",
        "s3://perennial/",
        "s3://perennial/.\t./other/x",
        "s3a://perennial/.\n./other/x",
        "s3://perennial/\r../other/x",
        "s3a://s3://perennial/x",
        "http://127.0.0.1/s3://perennial/x",
        "hdfs://perennial/x",
        " s3://perennial/x",
    ],
)
def test_addresses_outside_the_lake(address: str) -> None:
    assert not is_below(LAKE, address)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return a class of a module that tells when it is imported."""
    (tmp_path / "canary_module.py").write_text("class Files:\n    def __init__(self, *arguments): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "canary_module.Files"
    assert "canary_module" not in sys.modules


@pytest.fixture
def changed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[dict[str, Any]], None]], str]:
    """Return a function that stores the metadata of `features` with a change, and lets the metastore name that file."""
    uri = str(lab.lake.tables.state("features").metadata_location)
    original = json.loads(lab.lake.objects.read_existing(uri).body)

    def store(change: Callable[[dict[str, Any]], None]) -> str:
        document = copy.deepcopy(original)
        change(document)
        address = uri.replace(".metadata.json", "-changed.metadata.json")
        bucket, key = split_uri(address)
        lab.lake.objects.client.put_object(Bucket=bucket, Key=key, Body=json.dumps(document).encode())
        name_in_metastore(monkeypatch, address)
        return address

    return store


def name_in_metastore(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    entry = ttypes.Table(dbName="d", tableName="t", parameters={"table_type": "ICEBERG", "metadata_location": address})
    monkeypatch.setattr(LakeCatalog, "_get_hive_table", lambda *arguments, **named: entry)

    class Client:
        def __enter__(self) -> None: ...
        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(LakeCatalog, "_create_hive_client", staticmethod(lambda properties: Client()))


FILE = "file:///etc/passwd"
PROPERTIES = {
    "py-io-impl": None,
    "io-impl": None,
    "write.location-provider.impl": None,
    "write.py-location-provider.impl": None,
    "write.data.path": "file:///tmp",
    "write.folder-storage.path": "/tmp",
    "write.metadata.path": "s3://other/x",
    "write.object-storage.path": "s3://perennial-2/x",
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_that_names_a_class_or_a_folder_elsewhere_is_refused(
    changed: Callable[[Callable[[dict[str, Any]], None]], str], canary: str, name: str
) -> None:
    address = changed(lambda document: document.setdefault("properties", {}).update({name: PROPERTIES[name] or canary}))
    for work in (lambda: open_table(address), lambda: Tables("d").state("t"), lambda: read_rows(address, 1, [LAST], ["date"])):
        with pytest.raises(RefusedError, match=rf"leads out of the lake s3://perennial/\w+: property {name}: "):
            work()


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "location": lambda document: document.update(location=FILE),
    "metadata-log": lambda document: document.update({"metadata-log": [{"metadata-file": FILE, "timestamp-ms": 1}]}),
    "manifest-list": lambda document: document["snapshots"][-1].update({"manifest-list": FILE}),
    "statistics": lambda document: document.update(
        {
            "statistics": [
                {
                    "snapshot-id": document["current-snapshot-id"],
                    "statistics-path": FILE,
                    "file-size-in-bytes": 1,
                    "file-footer-size-in-bytes": 1,
                    "blob-metadata": [],
                }
            ]
        }
    ),
}


@pytest.mark.parametrize("part", CHANGES)
def test_a_file_outside_that_the_metadata_names_is_refused(
    changed: Callable[[Callable[[dict[str, Any]], None]], str], part: str
) -> None:
    address = changed(CHANGES[part])
    for work in (lambda: open_table(address), lambda: Tables("d").state("t")):
        with pytest.raises(RefusedError, match=r"leads out of the lake s3://perennial/\w+: file file:///etc/passwd"):
            work()


def test_settings_of_a_table_do_not_count(changed: Callable[[Callable[[dict[str, Any]], None]], str]) -> None:
    """An endpoint of the table's choice would receive requests that are signed with our keys."""
    address = changed(lambda document: document.setdefault("properties", {}).update({"s3.endpoint": "http://127.0.0.1:1"}))
    table = open_table(address)
    assert table.io.properties["s3.endpoint"] != "http://127.0.0.1:1"
    assert table.scan(selected_fields=("date",)).to_arrow().num_rows > 0
    assert Tables("d").state("t").columns


def test_a_metadata_file_outside_is_not_opened(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = str(lab.lake.tables.state("features").metadata_location)
    (tmp_path / "1.metadata.json").write_bytes(lab.lake.objects.read_existing(uri).body)
    for address in (f"file://{tmp_path}/1.metadata.json", f"{tmp_path}/1.metadata.json", "s3a://landing/1.metadata.json"):
        name_in_metastore(monkeypatch, address)
        for work in (lambda: open_table(address), lambda: Tables("d").state("t")):  # noqa: B023
            with pytest.raises(RefusedError, match=r"1\.metadata\.json is outside the lake s3://perennial/\w+"):
                work()


@pytest.mark.parametrize("part", ["manifest", "data file"])
def test_manifests_and_data_files_outside_are_not_opened(
    changed: Callable[[Callable[[dict[str, Any]], None]], str], lab: Lab, tmp_path: Path, part: str
) -> None:
    """Manifests name them, so they are found only while the rows are read."""
    table = open_table(str(lab.lake.tables.state("features").metadata_location))
    snapshot = table.current_snapshot()
    assert snapshot is not None
    io = lab.catalog._load_file_io(location=table.location())
    folder, body = snapshot.manifest_list.rpartition("/")[0], "PAR1"
    (tmp_path / "rows.parquet").write_text(body)
    local, manifest_path = f"file://{tmp_path}/rows.parquet", f"{folder}/hostile.avro"
    data = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=local,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=4,
    )
    with write_manifest(2, table.spec(), table.schema(), io.new_output(manifest_path), snapshot.snapshot_id, "null") as writer:
        writer.add_entry(
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=snapshot.snapshot_id, sequence_number=1, data_file=data
            )
        )
    manifest = writer.to_manifest_file()
    if part == "manifest":
        manifest._data[0] = local
    with write_manifest_list(2, io.new_output(f"{folder}/hostile-list.avro"), snapshot.snapshot_id, None, 1, "null") as listed:
        listed.add_manifests([manifest])
    address = changed(lambda document: document["snapshots"][-1].update({"manifest-list": f"{folder}/hostile-list.avro"}))
    with pytest.raises(RefusedError, match=r"file:.*rows\.parquet is outside the lake s3://perennial/\w+"):
        open_table(address).scan(selected_fields=("date",)).to_arrow()


def test_the_readers_of_the_lake_have_no_other_files(lab: Lab) -> None:
    assert type(open_table(str(lab.lake.tables.state("features").metadata_location)).io) is LakeFiles


def test_tables_that_are_read_together_share_one_session(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session takes 12 ms of CPU time, and an unchanged date reads the state of fifteen tables."""
    address = str(lab.lake.tables.state("features").metadata_location)
    name_in_metastore(monkeypatch, address)
    made: list[Session] = []
    monkeypatch.setattr(catalog, "Session", lambda: made.append(Session()) or made[-1])
    tables = Tables("d")
    assert tables.state("t").partitions == tables.state("u").partitions
    assert len(made) == 1
