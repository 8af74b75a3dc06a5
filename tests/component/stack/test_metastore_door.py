"""Calls to the metastore by other users and by hostile clients, which its door and its guard refuse."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hive_metastore import ThriftHiveMetastore, ttypes
from metastore_trial import NOBODY, WAREHOUSE, as_user, metastore_client, trial_metastore
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TApplicationException, TException
from thrift.transport.TTransport import TMemoryBuffer

pytestmark = pytest.mark.spark
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

MPTCP = 262


@dataclass(frozen=True, slots=True)
class Service:
    """The running service, and its record of the calls that reached the handler."""

    port: int
    pid: int
    log: Path

    def reached(self) -> int:
        """Count the calls that reached the handler, after one that ours adds at the end."""
        with metastore_client(self.port) as client:
            client.get_all_databases()
        return self.log.read_text().count("REACHED") - 1


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with trial_metastore(tmp_path_factory.mktemp("metastore")) as (port, pid, log):
        yield Service(port, pid, log)


def request() -> bytes:
    """Return the bytes of a whole request."""
    buffer = TMemoryBuffer()
    ThriftHiveMetastore.Client(TBinaryProtocol(buffer)).send_get_all_databases()
    return bytes(buffer.getvalue())


def connect(port: int, family: int = socket.AF_INET, protocol: int = 0) -> socket.socket:
    client = socket.socket(family, socket.SOCK_STREAM, protocol)
    client.settimeout(20)
    client.connect(("127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1", port))
    return client


def ask(port: int, family: int = socket.AF_INET) -> bytes:
    """Send a request, and return the first bytes of the answer; none if the connection was closed."""
    with connect(port, family) as client:
        try:
            client.sendall(request())
            return client.recv(100)
        except ConnectionError:
            return b""


FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv4 in IPv6"])


@FAMILIES
def test_the_user_of_the_service_is_let_in(service: Service, family: int) -> None:
    assert b"get_all_databases" in ask(service.port, family)


@root_only
@FAMILIES
def test_another_user_is_refused_unread(service: Service, family: int) -> None:
    before = service.reached()
    as_user(NOBODY, lambda: [_is_empty(ask(service.port, family)) for _ in range(5)])
    assert service.reached() == before + 1
    assert len(re.findall(r"WARN Connections refused so far: 1\. .*user with the number 65534", service.log.read_text())) == 1


def _is_empty(answer: bytes) -> None:
    assert answer == b""


@root_only
@pytest.mark.parametrize(
    ("protocol", "size"),
    [(0, 0), (0, 20_000_000), (MPTCP, 0), (MPTCP, 20_000_000)],
    ids=["TCP", "TCP full", "MPTCP", "MPTCP full"],
)
def test_a_request_of_another_user_who_has_closed_already_is_refused(service: Service, protocol: int, size: int) -> None:
    """
    The kernel keeps the connection of a closed socket until its bytes are delivered, and names root as its owner.

    With full buffers, one of Multipath TCP even stays established; kernels from 6.17 on then name its real owner.
    """
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol).close()
    except OSError:
        pytest.skip("this kernel has no Multipath TCP")
    before = service.reached()

    def leave() -> None:
        for _ in range(5):
            with connect(service.port, protocol=protocol) as client:
                client.sendall(request())
                client.setblocking(False)
                try:
                    client.send(bytes(size))
                except BlockingIOError:
                    continue

    os.kill(service.pid, signal.SIGSTOP)
    try:
        as_user(NOBODY, leave)
    finally:
        os.kill(service.pid, signal.SIGCONT)
    assert service.reached() == before + 1


@root_only
def test_root_is_let_in_by_the_service_of_another_user(tmp_path: Path) -> None:
    """The service reads its jars wherever they lie, but is not root."""
    bounds = "+dac_read_search"
    user = (
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        f"--inh-caps={bounds}",
        f"--ambient-caps={bounds}",
    )
    with trial_metastore(tmp_path, before=user) as (port, pid, log):
        assert Path(f"/proc/{pid}").stat().st_uid in (0, NOBODY)
        owner = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
        assert owner is not None
        assert owner[1] == str(NOBODY)
        assert b"get_all_databases" in ask(port)
        as_user(NOBODY, lambda: _is_answer(ask(port)))
        as_user(NOBODY - 1, lambda: _is_empty(ask(port)))
        assert "user with the number 65533" in log.read_text()


def _is_answer(answer: bytes) -> None:
    assert b"get_all_databases" in answer


def test_a_service_without_the_list_of_sockets_does_not_start(tmp_path: Path) -> None:
    """As where that part of /proc is hidden: it could not tell who connects."""
    hidden = (
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs none /proc/$$/net && exec "$@"',
        "sh",
    )
    if subprocess.run([*hidden, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a user hide a part of /proc")
    with pytest.raises(AssertionError, match="/proc/net/tcp cannot be read: the metastore cannot tell which user connects"):
        with trial_metastore(tmp_path, before=hidden):
            pass


def table(location: str = f"{WAREHOUSE}/db/t", **parameters: str) -> ttypes.Table:
    return ttypes.Table(dbName="db", tableName="t", sd=ttypes.StorageDescriptor(location=location), parameters=parameters)


Client = ThriftHiveMetastore.Client
OUTSIDE = [
    "file:///tmp/x",
    "/tmp/x",
    "s3a://other/warehouse/x",
    "s3a://lake/warehouse-2/x",
    "s3a://lake/warehouse/../main/x",
    "s3a://lake",
    "s3://lake/warehouse/x",
    "S3A://lake/warehouse/x",
    "jar:file:///x!/y",
    "hdfs://127.0.0.1:1/warehouse",
    " s3a://lake/warehouse/x",
    ":",
]


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_outside_the_warehouse_is_refused(service: Service, address: str) -> None:
    calls: list[Callable[[Client], object]] = [
        lambda client: client.create_database(ttypes.Database(name="db", locationUri=address)),
        lambda client: client.create_table(table(address)),
        lambda client: client.create_table_with_environment_context(table(address), None),
        lambda client: client.create_table(table(metadata_location=address)),
        lambda client: client.alter_table("db", "t", table(address)),
        lambda client: client.alter_table_with_environment_context("db", "t", table(metadata_location=address), None),
        lambda client: client.alter_table("db", "t", table(previous_metadata_location=address)),
    ]
    before = service.reached()
    for call in calls:
        with metastore_client(service.port) as client, pytest.raises(ttypes.MetaException, match="outside s3a://lake/warehouse"):
            call(client)
    assert service.reached() == before + 1


def test_what_our_clients_write_reaches_the_handler(service: Service) -> None:
    address = f"{WAREHOUSE}/main__x.db/t/metadata/1.metadata.json"
    calls: list[Callable[[Client], object]] = [
        lambda client: client.create_database(ttypes.Database(name="db", locationUri=f"{WAREHOUSE}/db.db")),
        lambda client: client.create_database(ttypes.Database(name="db", locationUri="")),
        lambda client: client.create_table_with_environment_context(table(metadata_location=address), None),
        lambda client: client.alter_table_with_environment_context("db", "t", table(metadata_location=address), None),
        lambda client: client.drop_table_with_environment_context("db", "t", False, None),
        lambda client: client.drop_database("db", False, False),
        lambda client: client.set_ugi("x", []),
    ]
    before = service.reached()
    for call in calls:
        with metastore_client(service.port) as client:
            call(client)
    assert service.reached() == before + 1 + len(calls)


def test_files_are_never_deleted(service: Service) -> None:
    calls: list[Callable[[Client], object]] = [
        lambda client: client.drop_table("db", "t", True),
        lambda client: client.drop_table_with_environment_context("db", "t", True, None),
        lambda client: client.drop_database("db", True, False),
        lambda client: client.drop_database("db", False, True),
    ]
    before = service.reached()
    for call in calls:
        with metastore_client(service.port) as client, pytest.raises(ttypes.MetaException, match="refuses drop_"):
            call(client)
    assert service.reached() == before + 1


NEEDED = frozenset(
    (
        "alter_table alter_table_with_environment_context create_database create_table create_table_with_environment_context "
        "drop_database drop_table drop_table_with_environment_context get_all_databases get_all_tables get_database "
        "get_databases get_function get_functions get_table get_table_names_by_filter get_table_objects_by_name get_tables "
        "get_tables_by_type set_ugi shutdown"
    ).split()
)


def test_every_other_call_is_refused_by_name(service: Service) -> None:
    """The service knows these calls of Hive 2.3; later ones it does not know at all."""
    names = {name.removeprefix("recv_") for name in dir(Client) if name.startswith("recv_")} - NEEDED
    assert len(names) > 150
    before, refused = service.reached(), set()
    for name in sorted(names):
        send = getattr(Client, f"send_{name}")
        with metastore_client(service.port) as client:
            # Enough arguments, all empty: they are refused before they are read.
            send(client, *[None] * (send.__code__.co_argcount - 1))
            with pytest.raises(TException) as error:
                getattr(client, f"recv_{name}")()
        text = str(getattr(error.value, "message", error.value))
        assert isinstance(error.value, TApplicationException), (name, error.value)
        assert "no client of Perennial needs it" in text or "Invalid method name" in text, (name, text)
        refused |= {name} if "Perennial" in text else set()
    assert {"create_function", "get_partitions_by_expr", "add_partition", "alter_database", "get_config_value"} <= refused
    assert len(refused) > 120
    assert service.reached() == before + 1


def test_there_are_no_functions(service: Service) -> None:
    before = service.reached()
    with metastore_client(service.port) as client:
        assert client.get_functions("default", "*") == []
        with pytest.raises(ttypes.NoSuchObjectException, match=r"default\.f does not exist"):
            client.get_function("default", "f")
    assert service.reached() == before + 1


def test_a_probe_of_the_port_is_no_news(service: Service) -> None:
    before = service.log.read_text().count("WARN Connections refused")
    for _ in range(5):
        connect(service.port).close()
    time.sleep(0.2)
    assert service.log.read_text().count("WARN Connections refused") == before
