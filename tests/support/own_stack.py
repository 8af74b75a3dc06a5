"""A stack of a benchmark's or a trial's own, beside a user's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perennial.settings import load_environment

STACK = (sys.executable, "-m", "stack")


def run_stack(command: Sequence[str]) -> None:
    """Run a program to its end; what it said is shown when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


@contextmanager
def own_stack(
    place: Path,
    offset: int,
    *,
    up: Sequence[str] = (*STACK, "up"),
    run: Callable[[Sequence[str]], Any] = run_stack,
    **environment: str,
) -> Iterator[None]:
    """
    Start a stack whose state lies in a folder of its own; this process is its user until the end, which stops it.

    :param offset: added to its ports
    :param up: the command that starts it
    :param run: what runs the commands
    :param environment: more variables for the stack and for this process
    """
    before = dict(os.environ)
    os.environ |= {"PERENNIAL_VAR": str(place), "PERENNIAL_PORT_OFFSET": str(offset), **environment}
    try:
        run(up)
        load_environment()
        yield
    finally:
        run([*STACK, "down"])
        os.environ.clear()
        os.environ.update(before)
