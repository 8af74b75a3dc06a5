"""Measuring what a stack costs: the CPU seconds of all its processes, with everything that they started, ended or not."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil
from rich.console import Console

OWN: set[int] = set()
"""Children that somebody here waits for."""
REAPING = threading.Lock()


def timed(work: Callable[[], Any], name: str, console: Console) -> dict[str, Any]:
    """Return the wall and CPU seconds of some work, the load beside it, and how quick the machine was before and after it."""
    speed = additions()
    before, began = cpu_seconds(), time.monotonic()
    work()
    result = {
        "wall": round(time.monotonic() - began, 1),
        "cpu": round(cpu_seconds() - before, 1),
        "load": round(os.getloadavg()[0], 1),
        "additions": [speed, additions()],
    }
    console.print(f"{name}: {result}")
    return result


def additions() -> float:
    """Return the CPU seconds of ten million additions: the speed of a shared machine changes by the hour."""
    program = "import time\ns = 0\nfor i in range(10_000_000): s += i\nprint(time.process_time())"
    return round(float(run([sys.executable, "-c", program])), 2)


def run(command: Sequence[str], seconds: float = 900, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return what it said."""
    with REAPING:
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        OWN.add(process.pid)
    said, _ = process.communicate(timeout=seconds)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return said


def adopt_orphans() -> None:
    """
    Become the parent of what the stack leaves running, so that no CPU second of it is lost when it ends.

    A parent has to let go of its children that have ended: the stack would wait for them.
    """
    set_child_subreaper = 36
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0) != 0:
        raise SystemExit("This benchmark counts the CPU seconds of a stack's processes, which it can on Linux only.")

    def let_go() -> None:
        while True:
            time.sleep(0.5)
            with REAPING:
                for process in psutil.Process().children():
                    with suppress(psutil.NoSuchProcess, ChildProcessError):
                        if process.pid not in OWN and process.status() == psutil.STATUS_ZOMBIE:
                            os.waitpid(process.pid, 0)

    threading.Thread(target=let_go, daemon=True).start()


def descendants() -> list[psutil.Process]:
    """Return the running processes below this one."""
    return [process for process in psutil.Process().children(recursive=True) if process.pid not in OWN]


def cpu_seconds() -> float:
    """Return the CPU seconds of everything that this process has started so far, ended or not."""
    with REAPING:
        total = 0.0
        for process in psutil.Process().children(recursive=True):
            try:
                total += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return total + ended.ru_utime + ended.ru_stime
