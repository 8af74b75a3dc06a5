"""The embedded S3 and PostgreSQL refuse whoever has no key, and lose nothing when they are killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import httpx
import psutil
import psycopg2
import pytest

from stack.__main__ import up
from stack.config import REPO, StackConfig
from stack.plan import Outcome, bring_down, bring_up, choose, plan
from stack.postgres import database_password, remove_postgres
from stack.probe import taken_by
from stack.process import recorded
from stack.roles import Role
from stack.seaweedfs import s3_service
from stack.secrets import secret

PARTS = ("s3", "postgres")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackConfig]:
    var = tmp_path_factory.mktemp("stack")
    one = next(config for offset in range(1000, 2000, 20) if is_free(config := StackConfig(var, var, offset)))
    one = StackConfig(REPO, var, one.offset, var)
    assert not [outcome.problem for outcome in start(one) if outcome.problem]
    yield one
    bring_down(one, choose(plan(one), PARTS, with_needs=False), lambda _: None)
    remove_postgres(one)
    assert is_free(one)


def is_free(config: StackConfig) -> bool:
    return not any(taken_by(port) for part in choose(plan(config), PARTS) if part.service for port in part.service.ports)


def start(config: StackConfig) -> list[Outcome]:
    return bring_up(config, choose(plan(config), PARTS), lambda _: None)


def client(config: StackConfig, key: str | None = None) -> boto3.client:
    access, known = secret(config.secrets, "s3_access_key"), secret(config.secrets, "s3_secret_key")
    return boto3.session.Session(access, key or known, region_name="us-east-1").client("s3", endpoint_url=config.s3_url)


def test_no_port_of_the_object_store_answers_without_a_key(config: StackConfig) -> None:
    client(config).put_object(Bucket="landing", Key="a/b.txt", Body=b"inside")
    listening = {c.laddr.port: c.laddr.ip for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    ports = [config.port(name) for name in ("s3", "filer", "master", "volume")]
    assert {listening[port] for port in s3_service(config).ports} == {"127.0.0.1"}
    paths = (
        "/landing/a/b.txt",
        "/buckets/landing/a/b.txt",
        "/buckets/",
        "/dir/assign",
        "/col/delete?collection=landing",
        "/1,01",
    )
    for port in ports:
        for path in paths:
            for method in ("GET", "PUT", "POST", "DELETE"):
                code, content = request(method, f"http://127.0.0.1:{port}{path}")
                assert code >= 400, (port, method, path)
                assert b"inside" not in content
    assert client(config).get_object(Bucket="landing", Key="a/b.txt")["Body"].read() == b"inside"


def request(method: str, url: str) -> tuple[int, bytes]:
    """Return status and content of an answer. A server that speaks TLS alone may end the connection, which counts as 400."""
    try:
        answer = httpx.request(method, url, content=b"outside" if method != "GET" else None)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        return 400, b""
    return answer.status_code, answer.content


def test_a_wrong_key_is_refused(config: StackConfig) -> None:
    with pytest.raises(Exception, match="SignatureDoesNotMatch"):
        client(config, "wrong").list_buckets()


def test_the_database_asks_for_a_password(config: StackConfig) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="127.0.0.1", port=config.port("postgres"), user="airflow", dbname="airflow", password="wrong")
    for name, other in (("airflow", "metastore"), ("metastore", "airflow")):
        known = {"host": "127.0.0.1", "port": config.port("postgres"), "user": name, "password": database_password(config, name)}
        psycopg2.connect(**known, dbname=name).close()
        with pytest.raises(psycopg2.OperationalError, match="permission denied"):
            psycopg2.connect(**known, dbname=other)


def test_killed_services_come_back_with_their_data(config: StackConfig) -> None:
    client(config).put_object(Bucket="perennial", Key="kept", Body=b"kept")
    for name in PARTS:
        record = recorded(config, name)
        assert record is not None
        killed = psutil.Process(record.pid)
        killed.kill()
        killed.wait(10)  # until then its ports are taken
    # As `make up` does: nothing of a killed one keeps it from starting.
    assert up(replace(config, pipelines=config.repo / "tests" / "pipelines"), PARTS) == 0
    assert client(config).get_object(Bucket="perennial", Key="kept")["Body"].read() == b"kept"
    assert {outcome.state for outcome in start(config)} == {"running"}


def test_a_store_of_an_earlier_version_gets_its_locks_while_it_runs(config: StackConfig) -> None:
    """It had one key and no certificate. The next start makes the rest, and the old key keeps working."""
    before, key = recorded(config, "s3"), secret(config.secrets, "s3_secret_key")
    security = config.var / "s3" / "security.toml"
    security.write_text(security.read_text().partition("[grpc]")[0])
    (config.secrets / "s3_grpc.pem").unlink()
    for role in (Role.JOBS, Role.SERVING, Role.LANDING):
        config.credentials(role).unlink()
        (config.secrets / f"s3_secret_key_{role}").unlink()

    assert [outcome.state for outcome in start(config)] == ["started", "running"]
    assert recorded(config, "s3") != before
    assert "[grpc.master]" in security.read_text()
    assert (config.secrets / "s3_grpc.pem").exists()
    assert client(config, key).list_buckets()["Buckets"]
    assert {outcome.state for outcome in start(config)} == {"running"}


def test_secrets_are_in_no_argument_list(config: StackConfig) -> None:
    secrets = [path.read_text() for path in Path(config.secrets).rglob("*") if path.is_file()]
    arguments = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [text for text in arguments for one in secrets if one in text]
