"""Another user of the machine at the stack's metastore, and its own user with calls that no client of ours makes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hive_metastore import ThriftHiveMetastore, ttypes
from metastore_trial import NOBODY, as_user, metastore_client
from thrift.Thrift import TException
from thrift.transport.TTransport import TTransportException

from stack.config import StackConfig

Client = ThriftHiveMetastore.Client
DATABASE = "main__hostile"
INSIDE = "s3a://perennial/warehouse/main__hostile.db/t"
METADATA = "file:///tmp/evil/v2.metadata.json"


def entry(location: str, **parameters: str) -> ttypes.Table:
    storage = ttypes.StorageDescriptor(
        cols=[ttypes.FieldSchema("a", "int", "")],
        location=location,
        inputFormat="org.apache.hadoop.mapred.TextInputFormat",
        outputFormat="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        serdeInfo=ttypes.SerDeInfo("x", "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", {}),
    )
    return ttypes.Table(tableName="t", dbName=DATABASE, sd=storage, parameters=parameters, tableType="MANAGED_TABLE")


def function() -> ttypes.Function:
    name = "org.apache.hadoop.hive.ql.udf.generic.GenericUDFReflect"
    return ttypes.Function(functionName="f", dbName="default", className=name, ownerType=1, functionType=1, resourceUris=[])


def hostile_calls(folder: Path) -> dict[str, Callable[[Client], object]]:
    """Return calls that write to a folder of the stack's user, delete it, read settings, or run code."""
    victim = f"file://{folder}/victim"
    return {
        "a database there": lambda client: client.create_database(
            ttypes.Database(name=DATABASE, locationUri=f"file://{folder}/made")
        ),
        "a table there": lambda client: client.create_table(entry(victim)),
        "a table of its own database": lambda client: client.create_table(entry("s3a://perennial/../x")),
        "files deleted": lambda client: client.drop_table("default", "t", True),
        "a database deleted": lambda client: client.drop_database("default", True, True),
        "another metadata file": lambda client: client.alter_table(DATABASE, "t", entry(INSIDE, metadata_location=METADATA)),
        "a database moved": lambda client: client.alter_database("default", ttypes.Database(name="default", locationUri=victim)),
        "a partition": lambda client: client.add_partition(ttypes.Partition(dbName=DATABASE, tableName="t")),
        "a function": lambda client: client.create_function(function()),
        "Kryo": lambda client: client.get_partitions_by_expr(ttypes.PartitionsByExprRequest(DATABASE, "t", b"x")),
        "a setting": lambda client: client.get_config_value("javax.jdo.option.ConnectionPassword", "-"),
        "a lock": lambda client: client.lock(ttypes.LockRequest([], user="x", hostname="x")),
        "an event": lambda client: client.get_current_notificationEventId(),
        "an upgrade": lambda client: client.setMetaConf("hive.metastore.try.direct.sql", "false"),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("mine")
    tmp_path.chmod(stat.S_IRWXU)
    return tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_gets_no_answer(running_stack: StackConfig, folder: Path) -> None:
    port, calls = running_stack.port("metastore"), {**hostile_calls(folder), "names": lambda client: client.get_all_databases()}

    def attack() -> None:
        for name, call in calls.items():
            with metastore_client(port) as client:
                try:
                    call(client)
                except (TTransportException, OSError):
                    continue
                raise AssertionError(f"{name} was answered")

    as_user(NOBODY, attack)
    assert list(folder.iterdir()) == [folder / "victim"]
    assert (folder / "victim" / "file").read_text() == "mine"
    log = (running_stack.logs / "metastore.log").read_text()
    assert f"user with the number {NOBODY}" in log


def test_the_user_of_the_stack_cannot_do_it_either(running_stack: StackConfig, folder: Path) -> None:
    """A pipeline's code, or a query that escapes, is of that user."""
    for name, call in hostile_calls(folder).items():
        with metastore_client(running_stack.port("metastore")) as client:
            with pytest.raises(TException) as error:
                call(client)
            text = str(getattr(error.value, "message", error.value))
            assert "Perennial's metastore refuses" in text, (name, text)
    assert list(folder.iterdir()) == [folder / "victim"]
    assert (folder / "victim" / "file").read_text() == "mine"
    with metastore_client(running_stack.port("metastore")) as client:
        assert DATABASE not in client.get_all_databases()
