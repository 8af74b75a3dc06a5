"""The metastore's own door and guard before a handler that answers every call with nothing, and clients of several users."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hive_metastore import ThriftHiveMetastore
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport

from stack.config import REPO
from stack.metastore import SOURCE
from stack.probe import is_listening
from stack.spark import LEAN_JVM, SparkHome

NOBODY = 65534
WAREHOUSE = "s3a://lake/warehouse"

PROGRAM = """
public final class Trial implements InvocationHandler {
    public static void main(String[] args) throws Exception {
        Class[] types = new Class[] {IHMSHandler.class};
        IHMSHandler handler = (IHMSHandler) Proxy.newProxyInstance(Trial.class.getClassLoader(), types, new Trial());
        LoopbackMetastore.serve(Integer.parseInt(args[0]), Guard.around(handler, args[1]));
    }

    public Object invoke(Object proxy, Method method, Object[] arguments) {
        System.out.println("REACHED " + method.getName());
        Class type = method.getReturnType();
        if (type == String.class) return "";
        if (type == java.util.List.class) return new ArrayList();
        if (type == java.util.Map.class) return new java.util.HashMap();
        if (type == boolean.class) return Boolean.TRUE;
        if (type == int.class) return Integer.valueOf(1);
        if (type == long.class) return Long.valueOf(1);
        if (type == Database.class) return new Database();
        if (type == Table.class) return new Table();
        return null;
    }
}
"""


@contextmanager
def trial_metastore(folder: Path, before: Sequence[str] = ()) -> Iterator[tuple[int, int, Path]]:
    """
    Start it; yield its port, its process and the file with its output: a line for each call that reached the handler.

    :param before: what comes before the command
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home, source, log = SparkHome(REPO / ".spark"), folder / "Trial.java", folder / "log"
    source.write_text(SOURCE.read_text() + PROGRAM)
    command = [
        *(*before, str(home.java), *LEAN_JVM, "-Djava.net.preferIPv4Stack=true", "-cp", ":".join(map(str, home.class_path()))),
        *("org.codehaus.janino.SimpleCompiler", str(source), "Trial", str(port), WAREHOUSE),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not is_listening(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "it did not start within 60 s"
            time.sleep(0.1)
        yield port, process.pid, log
    finally:
        process.kill()
        process.wait()


@contextmanager
def metastore_client(port: int) -> Iterator[ThriftHiveMetastore.Client]:
    """Connect to a metastore."""
    end = TSocket("127.0.0.1", port)
    end.setTimeout(20_000)
    transport = TBufferedTransport(end)
    transport.open()
    try:
        yield ThriftHiveMetastore.Client(TBinaryProtocol(transport))
    finally:
        transport.close()


def as_user(user: int, work: Callable[[], object]) -> None:
    """Do work in a child process of another user; an assertion that fails there fails here."""
    "localhost".encode("idna")  # for names of hosts: the user may not be able to read Python's own modules
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
