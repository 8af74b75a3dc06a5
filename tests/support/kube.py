"""What tests on a cluster share: what an administrator installs, and a way for pods to the object store of this machine."""

from __future__ import annotations

import os
import shlex
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from perennial.runtime.kubernetes import CREDENTIALS_KEY, STORAGE_SECRET
from stack.config import REPO
from stack.roles import Role

ROLES = {"perennial-training": Role.JOBS, "perennial-serving": Role.SERVING}
"""By namespace: the role whose keys its pods have."""

KUBECTL = shlex.split(os.environ.get("KUBECTL") or "kubectl")


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl (or what KUBECTL says) and return what it prints."""
    done = subprocess.run([*KUBECTL, *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def install(credentials: Callable[[Role], Path]) -> None:
    """
    Install namespaces, roles, and the Secrets with the storage credentials: `credentials` gives the file of a role.

    The documentation tells an administrator to do the same.
    """
    kubectl("apply", "-k", str(REPO / "include/deploy"))
    for namespace, role in ROLES.items():
        secret = kubectl(
            *("-n", namespace, "create", "secret", "generic", STORAGE_SECRET),
            *(f"--from-file={CREDENTIALS_KEY}={credentials(role)}", "--dry-run=client", "-o", "yaml"),
        )
        kubectl("apply", "-f", "-", stdin=secret)


def node_address() -> str:
    """Return the address at which pods reach this machine."""
    return kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")


@contextmanager
def relayed(listen: tuple[str, int], target: tuple[str, int]) -> Iterator[int]:
    """Pass connections to `listen` on to `target`, which listens on 127.0.0.1 alone; yields the port."""

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(target) as upstream:
                back = threading.Thread(target=_pump, args=(upstream, self.request), daemon=True)
                back.start()
                _pump(self.request, upstream)
                back.join(timeout=60)

    with Server(listen, Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone: so does the other
        return
