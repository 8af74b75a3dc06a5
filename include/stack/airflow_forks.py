"""Airflow imported once: the services are forks of one process, for importing costs each of them two CPU seconds."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from stack.config import StackConfig
from stack.errors import StackError
from stack.process import MARK, last_lines

SHARED_MARK = "airflow"
"""The mark of all forks; no service has this name."""


class AirflowForks:
    """Starts processes of Airflow; the one that they are forks of is started with the first and ends with this process."""

    def __init__(self, config: StackConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        """Start `airflow ARGUMENTS` in a session of its own, its output appended to `log`; return its process number."""
        request = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        own_log = log.with_name("airflow-import.log")
        with self._lock:
            if self._process is None:
                self._process = self._start(environment, own_log)
            requests, answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
            try:
                requests.write(json.dumps(request) + "\n")
                requests.flush()
                answer = answers.readline()
            except BrokenPipeError:
                answer = ""
        if not answer:
            raise StackError(
                f"Airflow cannot be imported, so airflow {arguments[0]} did not start. The end of {own_log}:\n{last_lines(own_log, 3)}"
            )
        return int(answer)

    def _start(self, environment: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
        with log.open("ab") as errors:
            return subprocess.Popen(
                # The folder says whose it is, and makes room for the titles of the forks.
                [self._config.python, "-m", "stack.airflow_import", str(self._config.var)],
                # A process's mark is read from the environment that it was started with, which forks share. Their titles would
                # overwrite it.
                env={**environment, MARK: SHARED_MARK, "SPT_NOENV": "1"},
                cwd=self._config.repo,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C in the shell is not meant for it
                umask=0o077,
            )
