"""Work on a text of an author within a limit of processor time: some short queries keep a parser busy for hours."""

from __future__ import annotations

import json
import os
import resource
import signal
import traceback
from collections.abc import Callable

from perennial.errors import PerennialError
from perennial.store.json_value import JsonValue

MAX_SECONDS = 5
"""Processor time for one file. All files of the demo together take a tenth of a second."""


def within_limit(work: Callable[[], JsonValue]) -> JsonValue:
    """
    Return the result of `work`, which a child process does.

    :raises TimeoutError: when it takes longer than MAX_SECONDS of processor time
    """
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        _work(work, writes)
    os.close(writes)
    with os.fdopen(reads, "rb") as answer:
        said = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        raise TimeoutError
    if status:
        raise PerennialError(f"The check of a SQL file failed:\n{said.decode()}")
    result: JsonValue = json.loads(said)
    return result


def _work(work: Callable[[], JsonValue], writes: int) -> None:
    """Write the result of `work`, or its error, and end this process."""
    status = 1
    try:
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, MAX_SECONDS)
        try:
            said, done = json.dumps(work()), 0
        except Exception:  # the parent reports it
            said, done = traceback.format_exc(), 1
        with os.fdopen(writes, "wb") as answer:
            answer.write(said.encode())
        status = done
    finally:
        os._exit(status)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
