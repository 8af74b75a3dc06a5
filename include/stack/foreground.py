"""One part of the stack in the foreground: what a container runs, and how docker asks whether it is well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from stack.config import StackConfig
from stack.errors import StackError
from stack.plan import Part, choose, plan
from stack.process import MARK, Service
from stack.server import keep_places


def run_part(config: StackConfig, name: str) -> int:
    """
    Prepare a part, run it until it ends or a SIGTERM comes, and return its exit code.

    A part without a service (work that comes before others) is done when it returns.
    """
    part = _part(config, name)
    config.write_environment()
    keep_places(config)
    if part.before:
        part.before(config)
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
    return process.wait()


def is_healthy(config: StackConfig, name: str) -> bool:
    """Tell whether a part's service answers."""
    part = _part(config, name)
    return part.service is not None and part.service.is_ready()


def _part(config: StackConfig, name: str) -> Part:
    parts = [part for part in choose(plan(config), [name], with_needs=False) if part.name == name]
    if not parts:
        raise StackError(f"{name!r} is not one part of the stack. Parts: {', '.join(part.name for part in plan(config))}.")
    return parts[0]


def _start(config: StackConfig, service: Service) -> subprocess.Popen[bytes]:
    environment = config.process_environment({**service.env, MARK: service.name})
    return subprocess.Popen(
        service.argv, env=environment, cwd=service.cwd or config.repo, user=service.user, stdout=sys.stdout, stderr=sys.stderr
    )


def _await_ready(service: Service, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + service.ready_seconds
    while process.poll() is None and not service.is_ready():
        if time.monotonic() > deadline:
            process.kill()
            raise StackError(f"Service {service.name} was not ready after {service.ready_seconds:.0f} s (pid {os.getpid()}).")
        time.sleep(0.5)
