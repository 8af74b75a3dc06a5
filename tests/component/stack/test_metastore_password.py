"""A program that has taken PostgreSQL's port gets no password from the metastore's driver, whatever it asks for."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from stack.config import REPO, StackConfig
from stack.metastore import service_settings
from stack.spark import LEAN_JVM, SparkHome

pytestmark = pytest.mark.spark

CLEAR_TEXT, MD5, SCRAM = struct.pack("!i", 3), struct.pack("!i4s", 5, b"salt"), struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"
ENCRYPTION = (80877103, 80877104)
"""The requests for TLS and for GSS, which the server declines."""

PROGRAM = """
public final class Connect {
    public static void main(String[] args) throws Exception {
        for (int index = 2; index < args.length; index++) {
            try {
                java.sql.DriverManager.getConnection(args[index], args[0], args[1]).close();
                System.out.println("connected");
            } catch (java.sql.SQLException error) {
                System.out.println(error.getMessage().replace('\\n', ' '));
            }
        }
    }
}
"""


@dataclass
class Impostor:
    """A server that asks for a password in one way, and keeps what it gets."""

    request: bytes
    got: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Impostor:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            client.settimeout(20)
            while struct.unpack("!i", (begin := client.recv(1000))[4:8])[0] in ENCRYPTION:
                client.sendall(b"N")
            self.got.append(begin)
            client.sendall(b"R" + struct.pack("!i", len(self.request) + 4) + self.request)
            self.got.append(client.recv(1000))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, list[bytes], bytes]]]:
    folder = tmp_path_factory.mktemp("password")
    config = StackConfig(repo=REPO, var=folder / "var")
    settings = service_settings(config)
    user, password = (settings[f"javax.jdo.option.Connection{name}"] for name in ("UserName", "Password"))
    (folder / "Connect.java").write_text(PROGRAM)
    home = SparkHome(REPO / ".spark")
    command = [str(home.java), *LEAN_JVM, "-cp", ":".join(map(str, home.class_path())), "org.codehaus.janino.SimpleCompiler"]
    with Impostor(CLEAR_TEXT) as clear, Impostor(MD5) as md5, Impostor(SCRAM) as scram:
        impostors = {"clear text": clear, "MD5": md5, "SCRAM": scram}
        url = settings["javax.jdo.option.ConnectionURL"]
        urls = [url.replace(f":{config.port('postgres')}/", f":{impostor.port}/") for impostor in impostors.values()]
        words = [*command, str(folder / "Connect.java"), "Connect", user, password, *urls]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        assert len(lines) == len(impostors), done.stdout + done.stderr
        yield {name: (line, impostors[name].got, password.encode()) for name, line in zip(impostors, lines, strict=True)}


@pytest.mark.parametrize("way", ["clear text", "MD5"])
def test_a_server_that_asks_for_the_password_gets_none(said: dict[str, tuple[str, list[bytes], bytes]], way: str) -> None:
    line, got, _ = said[way]
    assert "expected SCRAM: it may be another program" in line
    assert got[0].count(b"metastore")
    assert got[1:] == [b""]  # the driver has hung up


def test_scram_begins_without_the_password(said: dict[str, tuple[str, list[bytes], bytes]]) -> None:
    _, got, password = said["SCRAM"]
    assert b"SCRAM-SHA-256" in got[1]
    assert password not in b"".join(got)
