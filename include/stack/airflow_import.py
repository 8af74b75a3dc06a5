"""The parent process of AirflowForks: it imports Airflow once, and forks a service for each request."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from setproctitle import setproctitle

from stack.bound_forks import bind_forks

SHARED = (
    "airflow.cli.cli_parser",
    "airflow.cli.commands.api_server_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.executors.local_executor",
)
"""Modules that more than one service imports."""

FORKING = frozenset({"scheduler", "dag-processor"})
"""The services that fork a process for each task or parse, and leave Perennial's modules to it."""


def main() -> None:
    """Fork a service for each line of standard input and print its process number. In a service, return when it has ended."""
    setproctitle("airflow import")  # the first call must come before a change of the environment, or later calls have no effect
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output during the imports is not an answer
    for name in SHARED:
        import_module(name)
    import_module("airflow_local_settings").import_for_tasks()  # Airflow has put the plugins folder on the path
    gc.freeze()  # a garbage collection would touch, and so copy, every page that the services share
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # this process does not wait for its forks
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            answers.close()
            become(**json.loads(line))
            return
        answers.write(f"{process}\n")
        answers.flush()


def become(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    """Run `airflow ARGUMENTS` in this process."""
    os.setsid()
    from airflow.__main__ import main as airflow

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["airflow", *arguments]
    setproctitle(" ".join(sys.argv))
    if arguments[0] not in FORKING:
        # It imports Perennial's modules one after the other while it runs: they must be of one state of the files.
        import_module("airflow_local_settings").forget_own_code()
    bind_forks()  # for a DAG processor or a triggerer; the scheduler's executor binds two generations
    airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
