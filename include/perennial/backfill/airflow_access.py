"""Access to the stack's Airflow as its user `admin`. Password and token go to the stack's own API server alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from perennial.backfill.airflow_client import AirflowClient
from perennial.errors import PerennialError, UnreachableError
from perennial.lake.reach import STACK_IS_DOWN
from perennial.runtime.process_record import read_record
from perennial.settings import describe_missing, get_settings, var_folder

SERVICE = "airflow-api"


def open_airflow() -> AirflowClient:
    """Return a client of the Airflow that the settings name, with the password that the stack wrote."""
    settings = get_settings()
    if settings.airflow_url is None or settings.airflow_login is None:
        missing = "airflow_url" if settings.airflow_url is None else "airflow_login"
        raise PerennialError(describe_missing(missing), remedy="Start the stack (`make up`), or set the variable.")
    if not settings.airflow_login.exists():
        raise PerennialError(STACK_IS_DOWN)
    password = settings.airflow_login.read_text(encoding="utf-8").strip()
    var = var_folder().resolve()
    records = var / "run"
    if not settings.airflow_login.resolve().is_relative_to(var) or not records.is_dir():
        return AirflowClient(settings.airflow_url, password)  # another Airflow, or parts in containers, which keep no records
    return AirflowClient(settings.airflow_url, password, check_server=ServerCheck(settings.airflow_url, records))


@dataclass(frozen=True, slots=True)
class _Listener:
    """
    A socket that listens on a port, in the recorded process or one of its children.

    :param inode: the kernel's number of the socket; None: this system does not tell it
    """

    leader: psutil.Process
    process: psutil.Process
    descriptor: int
    inode: int | None

    def is_open(self) -> bool:
        """Return whether the process still holds the very same socket. Then no other program can have its port."""
        return self.inode is not None and self.process.is_running() and _inode(self.process, self.descriptor) == self.inode


class ServerCheck:
    """
    Checks that the process that the stack recorded as its API server listens on the port of a URL.

    Any user's program can listen there while the API server is down. A backfill asks four times a second, and the sockets of all
    processes take 20 ms to read. So the check remembers the socket that it found, and reads all of them again once it is closed.
    """

    def __init__(self, url: str, records: Path) -> None:
        self._url = url
        self._record = records / f"{SERVICE}.json"
        self._listener: _Listener | None = None

    def __call__(self) -> None:
        """
        Check it once.

        :raises UnreachableError: if it does not; it may come back
        """
        port, leader, known = urlsplit(self._url).port, _find_leader(self._record), self._listener
        if leader is None or known is None or known.leader != leader or not known.is_open():
            self._listener = None if leader is None else _find_listener(leader, port)
        if self._listener is None:
            raise UnreachableError(
                f"The stack's API server of Airflow does not listen on port {port}, so nothing was sent to {self._url}. "
                "See `make status`."
            )


def _find_leader(record: Path) -> psutil.Process | None:
    """Return the recorded process, or None if it has ended."""
    try:
        return read_record(record).process()
    except FileNotFoundError:
        return None


def _find_listener(leader: psutil.Process, port: int | None) -> _Listener | None:
    """Return the socket by which a process or one of its children listens on a port, or None."""
    try:
        for process in (leader, *leader.children(recursive=True)):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return _Listener(leader, process, connection.fd, _inode(process, connection.fd))
    except psutil.Error:  # one of them has just ended
        pass
    return None


def _inode(process: psutil.Process, descriptor: int) -> int | None:
    try:
        return os.stat(f"/proc/{process.pid}/fd/{descriptor}").st_ino
    except OSError:  # the descriptor is closed, or there is no /proc
        return None
