"""Probes of ports on this machine: whether a service listens and answers, and which process holds a port."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import psutil

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the user's shell cannot reach 127.0.0.1 of this machine."""


def http_get(url: str, timeout_seconds: float = 5.0) -> bytes | None:
    """Return the body of a successful answer, None if there is none (yet)."""
    try:
        with NO_PROXY.open(url, timeout=timeout_seconds) as response:
            return bytes(response.read())
    except (urllib.error.URLError, OSError):
        return None


def is_listening(port: int) -> bool:
    """Return whether a process accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def taken_by(port: int) -> str | None:
    """Return the holder of a port that a service needs, None if the port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return _find_holder(port)
    return None


def _find_holder(port: int) -> str:
    """Return the name of the process that listens on a port, if this user may see it."""
    try:
        connections = psutil.net_connections(kind="tcp")
        pids = [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid]
        return f"{psutil.Process(pids[0]).name()} (pid {pids[0]})" if pids else "another program"
    except psutil.Error:
        return "another program"
