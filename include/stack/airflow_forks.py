"""Airflow imported once: its services are forks of one process, because importing costs each of them two CPU seconds."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import psutil

from perennial.settings import SERVICE_MARK
from stack.config import StackConfig
from stack.errors import StackError
from stack.files import open_log
from stack.process import last_lines
from stack.service_user import identity

SHARED_MARK = "airflow"
"""The mark that all forks share. No service has this name."""


class AirflowForks:
    """Starts Airflow's processes as forks of one parent. The parent starts with the first fork and ends with this process."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Start `airflow ARGUMENTS` in its own session, with its output appended to `log`. Return its process number."""
        request = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        import_log = log.with_name("airflow-import.log")
        with self._lock:
            if self._process is None:
                self._process = self._start(environment, import_log)
            requests, answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
            try:
                requests.write(json.dumps(request) + "\n")
                requests.flush()
                answer = answers.readline()
            except BrokenPipeError:
                answer = ""
        if not answer:
            raise StackError(
                f"Airflow cannot be imported, so airflow {arguments[0]} did not start. "
                f"The end of {import_log}:\n{last_lines(import_log, 5)}"
            )
        return self._checked(answer.strip(), arguments[0], self._process)

    def _checked(self, answer: str, command: str, parent: subprocess.Popen[str]) -> int:
        """Return the number of a fork. The parent may be another user's, and root would later stop a process that is none."""
        number = int(answer) if answer.isascii() and answer.isdigit() else 0
        try:
            fork = psutil.Process(number)
            if fork.ppid() == parent.pid and {*fork.uids()} == {*psutil.Process(parent.pid).uids()}:
                return number
            found = "which it did not start"
        except psutil.NoSuchProcess:
            found = "which does not run"
        raise StackError(
            f"airflow {command} did not start: Airflow's import process answered {answer[:40]!r}, {found}; "
            "expected the number of its new process. Run the command again. If this repeats, look for foreign code in "
            f"{self._config.var / 'airflow'}, such as config/ or plugins/."
        )

    def _start(self, environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
        with open_log(log) as errors:
            return subprocess.Popen(
                # The folder names the stack in the process list, and reserves space for the titles of the forks.
                [self._config.python, "-m", "stack.airflow_import", str(self._config.var)],
                # A process's mark is read from its initial environment, which forks share. SPT_NOENV keeps their titles from
                # overwriting it.
                env={**environment, SERVICE_MARK: SHARED_MARK, "SPT_NOENV": "1"},
                cwd=self._config.repo,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C in the shell must not reach it
                umask=0o077,
                **identity(self._config.var),
            )
