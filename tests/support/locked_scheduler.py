"""Find the scheduler of a stack in the middle of a transaction, and kill it there."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from psycopg2.extensions import cursor

from perennial.runtime.process_record import is_alive
from stack.config import StackConfig
from stack.postgres import connect
from stack.process import recorded

MET_SECONDS = 30.0
ENDED_SECONDS = 10.0

# A backend that has locked or changed a row has a transaction number.
IN_TRANSACTION = """
    SELECT pid, state FROM pg_stat_activity
    WHERE client_port = ANY(%s) AND backend_xid IS NOT NULL
"""
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE client_port = ANY(%s)"
ALIVE = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Killed:
    """A killed scheduler: all that it had forked, and its backends in PostgreSQL."""

    pid: int
    forks: tuple[psutil.Process, ...]
    backends: tuple[int, ...]


@contextmanager
def administrator(config: StackConfig) -> Iterator[cursor]:
    """Open a session in the stack's PostgreSQL that sees all others."""
    connection = connect(config, "airflow")
    connection.autocommit = True
    try:
        with connection.cursor() as session:
            yield session
    finally:
        connection.close()


def scheduler_of(config: StackConfig) -> psutil.Process:
    """Return the running scheduler."""
    record = recorded(config, "airflow-scheduler")
    if record is None:
        raise psutil.NoSuchProcess(0, "airflow-scheduler")
    return psutil.Process(record.pid)


def kill_in_transaction(config: StackConfig, seconds: float = MET_SECONDS) -> Killed | None:
    """Kill the scheduler (SIGKILL) while it holds row locks; None when it did not hold any within `seconds`."""
    scheduler, deadline = scheduler_of(config), time.monotonic() + seconds
    with administrator(config) as session:
        while time.monotonic() < deadline:
            ports = _ports(config, scheduler)
            for _ in range(200):
                if not _in_transaction(session, ports):
                    time.sleep(0.002)
                    continue
                scheduler.suspend()
                if _settled(session, ports):
                    return _kill(session, scheduler, ports)
                scheduler.resume()
    return None


def kill(config: StackConfig) -> Killed:
    """Kill the scheduler (SIGKILL), whatever it does."""
    scheduler = scheduler_of(config)
    with administrator(config) as session:
        scheduler.suspend()
        return _kill(session, scheduler, _ports(config, scheduler))


def left_after(config: StackConfig, killed: Killed, seconds: float = ENDED_SECONDS) -> str:
    """Wait for the end of what a killed scheduler had; return what is left after `seconds`, nothing in the good case."""
    deadline = time.monotonic() + seconds
    with administrator(config) as session:
        while True:
            forks = [f"{fork.pid}" for fork in killed.forks if is_alive(fork)]
            session.execute(ALIVE, [list(killed.backends)])
            backends = [str(pid) for (pid,) in session.fetchall()]
            if not forks and not backends:
                return ""
            if time.monotonic() > deadline:
                return (
                    f"{seconds:.0f} s after the kill: processes {', '.join(forks) or 'none'}, "
                    f"backends {', '.join(backends) or 'none'}"
                )
            time.sleep(0.05)


def _kill(session: cursor, scheduler: psutil.Process, ports: Collection[int]) -> Killed:
    session.execute(BACKENDS, [list(ports)])
    killed = Killed(scheduler.pid, tuple(scheduler.children(recursive=True)), tuple(pid for (pid,) in session.fetchall()))
    scheduler.kill()
    return killed


def _ports(config: StackConfig, scheduler: psutil.Process) -> list[int]:
    server = config.port("postgres")
    return [one.laddr.port for one in scheduler.net_connections(kind="tcp") if one.raddr and one.raddr.port == server]


def _in_transaction(session: cursor, ports: Collection[int]) -> dict[int, str]:
    session.execute(IN_TRANSACTION, [list(ports)])
    return dict(session.fetchall())


def _settled(session: cursor, ports: Collection[int]) -> dict[int, str]:
    """Return the backends in a transaction of a client that is suspended, once none of them is at work; none when one goes on."""
    for _ in range(1000):
        if "active" not in (found := _in_transaction(session, ports)).values():
            return found
        time.sleep(0.002)
    return {}
