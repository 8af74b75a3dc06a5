"""One part of the stack in the foreground: the command of a container, and its health check."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

import psutil

from perennial.settings import SERVICE_MARK
from stack.config import StackConfig
from stack.errors import StackError
from stack.plan import Part, choose, plan
from stack.process import Service
from stack.server import keep_places
from stack.waiting import await_ready

CHECK_SECONDS = 5.0


def run_part(config: StackConfig, name: str) -> int:
    """
    Prepare a part, run it until it ends or receives SIGTERM, and return its exit code.

    A part without a service (preparation for other parts) is done when this returns. While a service answers, the time of
    `<part>.healthy` in the folder of run records is the present: the check of a container looks at it, because a process for
    each check would cost half a CPU second. The file is there once other parts find their buckets or databases.
    """
    config.write_environment()  # the folder must exist: the plan depends on its permissions
    part = _part(config, name)
    healthy = config.run / f"{part.name}.healthy"
    healthy.parent.mkdir(parents=True, exist_ok=True)
    healthy.unlink(missing_ok=True)  # of the part's earlier process
    keep_places(config)
    if part.before and (note := part.before(config)):
        sys.stdout.write(f"{note}\n")
    if part.service is None:
        return 0
    process = _start(config, part.service)

    def stop(number: int, frame: FrameType | None) -> None:
        process.send_signal(part.service.stop_signal if part.service else signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    _await_ready(part.service, process)
    if part.after:
        part.after(config)
    while process.poll() is None:
        if part.service.is_ready():
            healthy.touch()
        with suppress(subprocess.TimeoutExpired):
            process.wait(CHECK_SECONDS)
    return process.returncode


def _part(config: StackConfig, name: str) -> Part:
    parts = [part for part in choose(plan(config), [name], with_needs=False) if part.name == name]
    if not parts:
        raise StackError(f"{name!r} is not a single part of the stack. Parts: {', '.join(part.name for part in plan(config))}.")
    return parts[0]


def _start(config: StackConfig, service: Service) -> subprocess.Popen[bytes]:
    environment = config.process_environment({**service.env, SERVICE_MARK: service.name}, service.role)
    return subprocess.Popen(
        service.argv, env=environment, cwd=service.cwd or config.repo, user=service.user, stdout=sys.stdout, stderr=sys.stderr
    )


def _await_ready(service: Service, process: subprocess.Popen[bytes]) -> None:
    known = psutil.Process(process.pid)
    problem = await_ready(
        service.is_ready, lambda: known if process.poll() is None else None, quiet_seconds=service.ready_seconds
    )
    if problem:
        process.kill()
        raise StackError(f"Service {service.name} {problem}")
