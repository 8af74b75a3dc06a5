"""Questions to ports of this machine: who listens, does it answer."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import psutil

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the user's shell cannot reach 127.0.0.1 of this machine."""


def http_get(url: str, timeout_seconds: float = 5.0) -> bytes | None:
    """Return the body of a successful answer, None when there is none (yet)."""
    try:
        with NO_PROXY.open(url, timeout=timeout_seconds) as response:
            return bytes(response.read())
    except (urllib.error.URLError, OSError):
        return None


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def taken_by(port: int) -> str | None:
    """Return who holds a port that a service needs, None when it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return _holder(port)
    return None


def _holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see it."""
    try:
        connections = psutil.net_connections(kind="tcp")
        pids = [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid]
        return f"{psutil.Process(pids[0]).name()} (pid {pids[0]})" if pids else "another program"
    except psutil.Error:
        return "another program"
