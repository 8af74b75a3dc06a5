"""A program that takes the port of a stopped database does not get its passwords."""

from __future__ import annotations

import asyncio
import configparser
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from stack.airflow import prepare_airflow
from stack.config import PORTS, StackConfig
from stack.postgres import connect

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
CLEAR_TEXT = b"R" + struct.pack("!ii", 8, 3)


@pytest.fixture
def taken(tmp_path) -> Iterator[tuple[StackConfig, list[bytes]]]:
    """Take the database's port with a server that asks for the password in clear text; collect the answers."""
    answers: list[bytes] = []

    def ask(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            while (start := connection.recv(1000))[4:8] in (struct.pack("!i", SSL_REQUEST), struct.pack("!i", GSS_REQUEST)):
                connection.sendall(b"N")
            if start:
                connection.sendall(CLEAR_TEXT)
                answers.append(connection.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                ask(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield StackConfig(repo=tmp_path, var=tmp_path, offset=port - PORTS["postgres"]), answers
        server.shutdown(socket.SHUT_RDWR)


def airflow_settings(config: StackConfig) -> configparser.SectionProxy:
    prepare_airflow(config)
    parser = configparser.ConfigParser()
    parser.read(config.var / "airflow" / "airflow.cfg", encoding="utf-8")
    return parser["database"]


def by_airflow(config: StackConfig) -> None:
    sqlalchemy.create_engine(airflow_settings(config)["sql_alchemy_conn"]).connect()


def by_airflows_coroutines(config: StackConfig) -> None:
    async def open_session() -> None:
        async with create_async_engine(airflow_settings(config)["sql_alchemy_conn_async"]).connect():
            pass

    asyncio.run(open_session())


def by_the_owner(config: StackConfig) -> None:
    connect(config, "metastore", "metastore")


@pytest.mark.parametrize("client", [by_airflow, by_airflows_coroutines, connect, by_the_owner])
def test_no_client_answers_a_request_for_a_password_in_clear_text(
    taken: tuple[StackConfig, list[bytes]], client: Callable[[StackConfig], object]
) -> None:
    config, answers = taken
    with pytest.raises(Exception, match=r"requires? .*authentication.*, but|authentication method requirement"):
        client(config)
    assert answers in ([], [b""])
