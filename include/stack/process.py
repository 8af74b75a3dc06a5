"""Processes of the stack: start one detached, find it again later, stop it with all its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from perennial.runtime.process_record import Record, is_alive, read_record
from perennial.settings import SERVICE_MARK
from stack.config import StackConfig
from stack.errors import StackError
from stack.files import open_log, open_regular
from stack.logs import bound_log
from stack.probe import taken_by
from stack.roles import Role
from stack.service_user import identity, service_user, share
from stack.system_user import find_owner
from stack.waiting import await_ready, size

FREED_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """
    One long-running process and the check that it works.

    :param fork: starts it instead of `argv`, given the environment and the file for its output; returns the process number
    :param ready_seconds: limit of the time without progress while it starts: no CPU time used, no line in its log
    :param hopeless: patterns of log lines which mean that it will never be ready, each with the remedy
    """

    name: str
    argv: tuple[str, ...]
    is_ready: Callable[[], bool]
    fork: Callable[[Mapping[str, str], Path], int] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    role: Role | None = None
    """The role whose keys of the object store it has. None: it has none."""

    ports: tuple[int, ...] = ()
    ready_seconds: float = 60.0
    hopeless: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    """A user of its own. None: the user of all services."""

    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    leaves: tuple[Path, ...] = ()
    """Files outside the state folder that a killed process leaves behind. They are removed when it is stopped."""


def log_path(config: StackConfig, name: str) -> Path:
    """Return the file with the output of a service."""
    return config.logs / f"{name}.log"


def recorded(config: StackConfig, name: str) -> Record | None:
    """Return the record that `start` wrote of a service, None if it was never started or has been stopped."""
    path = config.run / f"{name}.json"
    if not path.exists():
        return None
    return read_record(path)


def is_running(config: StackConfig, name: str) -> bool:
    """Return whether the process that `start` launched is alive."""
    record = recorded(config, name)
    return record is not None and record.process() is not None


def start(config: StackConfig, service: Service) -> bool:
    """Start a service and wait until it is ready. Return False if it was running already."""
    log = log_path(config, service.name)
    if is_running(config, service.name) and _becomes_ready(config, service, log, size(log)):
        return False
    stop(config, service)  # children of a killed parent still hold its ports
    _require_free(service)
    if not service_user(config.var):  # otherwise the services do it: root must not follow links in their folder
        bound_log(log)
    log_begin = size(log)
    _launch(config, service)
    if not _becomes_ready(config, service, log, log_begin):
        raise StackError(f"Service {service.name} ended while starting. The end of {log}:\n{last_lines(log)}")
    return True


def stop(config: StackConfig, service: Service) -> bool:
    """Stop a service and everything it started. Return False if none of it was running."""
    record = recorded(config, service.name)
    members = _members(config, service, record)
    leader = record.process() if record else None
    if leader and leader in members:
        _signal([leader], service.stop_signal)
        _wait_for_end([leader], after=service.stop_seconds)
    rest = {process.pid: process for process in [*members, *_members(config, service, record)]}
    if survivors := end(rest.values()):
        raise StackError(
            f"Service {service.name}: {len(survivors)} processes have not ended after SIGKILL, first pid {survivors[0].pid}."
        )
    (config.run / f"{service.name}.json").unlink(missing_ok=True)
    if members:  # otherwise they may belong to another stack at the same ports
        _remove_leaves(service)
    return bool(members)


def end(processes: Collection[psutil.Process]) -> list[psutil.Process]:
    """End processes, with SIGKILL after five seconds. Return those that survive it."""
    survivors = _wait_for_end(processes, after=0)
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(survivors, number)
        survivors = _wait_for_end(survivors, after=5)
    return survivors


def mark_of(config: StackConfig, process: psutil.Process) -> str | None:
    """Return the mark that a process inherited in this stack. None: it has none, it is of another stack, or it hides it."""
    try:
        environment = process.environ()
    except psutil.AccessDenied:
        return None
    if environment.get("PERENNIAL_VAR") != str(config.var) or _is_in_another_container(process):
        return None
    mark: str | None = environment.get(SERVICE_MARK)
    return mark


def last_lines(path: Path, count: int = 8) -> str:
    """Return the last lines of a log, to quote in an error."""
    if not path.exists():
        return ""
    with os.fdopen(open_regular(path, os.O_RDONLY), encoding="utf-8", errors="replace") as file:
        return "\n".join(file.read().splitlines()[-count:])


def _launch(config: StackConfig, service: Service) -> None:
    config.run.mkdir(parents=True, exist_ok=True)
    config.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    share(config.var)
    if service_user(config.var):
        _remove_leaves(service)  # root may remove another user's sockets, the service itself may not
    environment = config.process_environment({**service.env, SERVICE_MARK: service.name}, service.role)
    log = log_path(config, service.name)
    number = service.fork(environment, log) if service.fork else _spawn(config, service, environment, log)
    with suppress(psutil.NoSuchProcess):  # it has ended already
        record = Record(number, psutil.Process(number).create_time())
        (config.run / f"{service.name}.json").write_text(json.dumps(asdict(record)), encoding="utf-8")


def _spawn(config: StackConfig, service: Service, environment: Mapping[str, str], log: Path) -> int:
    own = {"user": service.user, "group": service.user, "extra_groups": []} if service.user else identity(config.var)
    with open_log(log) as output:
        return subprocess.Popen(
            service.argv,
            env=environment,
            cwd=service.cwd or config.repo,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
            **own,
        ).pid


def _remove_leaves(service: Service) -> None:
    for path in service.leaves:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _becomes_ready(config: StackConfig, service: Service, log: Path, log_begin: int) -> bool:
    """Wait until a service is ready. Return False if its process ends first."""

    def leader() -> psutil.Process | None:
        record = recorded(config, service.name)
        return record.process() if record else None

    problem = await_ready(
        service.is_ready,
        leader,
        quiet_seconds=service.ready_seconds,
        log=log,
        log_begin=log_begin,
        hopeless=service.hopeless,
    )
    if problem:
        raise StackError(f"Service {service.name} {problem} Its log: {log}.")
    return is_running(config, service.name)


def _require_free(service: Service) -> None:
    """Refuse a port that is in use. Wait a moment first: the port of a process that was just killed becomes free."""
    deadline = time.monotonic() + FREED_SECONDS
    for port in service.ports:
        while (holder := taken_by(port)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if holder:
            raise StackError(
                f"Service {service.name} needs port {port}, which is taken by {holder}. "
                "Stop that program, or choose other ports with another PERENNIAL_PORT_OFFSET."
            )


def _members(config: StackConfig, service: Service, record: Record | None) -> list[psutil.Process]:
    """
    Return every process of a service: its session, its descendants, and the processes that inherited its mark.

    If the service has a user of its own, they are that user's: it must not be able to point root to another user's processes.
    """
    user = service.user or service_user(config.var)
    owner = find_owner(user) if user else None
    leader = record.process() if record else None
    descendants = {process.pid for process in leader.children(recursive=True)} | {leader.pid} if leader else set()
    members = []
    for process in psutil.process_iter():
        try:
            in_session = record is not None and record.names_session(process) and not _is_later(config, record, process)
            is_member = process.pid in descendants or in_session or mark_of(config, process) == service.name
            if is_member and (owner is None or {*process.uids()} == {owner[0]}):
                members.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            continue  # it has ended, or belongs to another user, so it is not ours
    return [process for process in members if process.pid != os.getpid() and is_alive(process)]


def _is_in_another_container(process: psutil.Process) -> bool:
    """Return whether a process is in another PID namespace: its state folder is then another one, despite the same path."""
    try:
        return os.readlink(f"/proc/{process.pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return False  # not Linux


def _is_later(config: StackConfig, record: Record, process: psutil.Process) -> bool:
    """
    Return whether a process belongs to a later session with the same number: its environment names another stack, or none.

    A process that guards a task's secrets hides its environment.
    """
    try:
        environment = {} if psutil.pid_exists(record.pid) else process.environ()
    except psutil.AccessDenied:
        return False
    return bool(environment) and environment.get("PERENNIAL_VAR") != str(config.var)


def _wait_for_end(processes: Collection[psutil.Process], after: float) -> list[psutil.Process]:
    """
    Wait at most `after` seconds for the end of processes, and return those that have not ended.

    A zombie counts as ended: a parent may take seconds to reap it, and the first process of a container may never do so.
    """
    deadline = time.monotonic() + after
    while (alive := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
