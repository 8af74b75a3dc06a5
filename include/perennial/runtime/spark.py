"""A planned Spark job, and how the command line submits it; in Airflow, SparkSubmitOperator submits the same."""

from __future__ import annotations

import logging
import os
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import PerennialError

log = logging.getLogger(__name__)

SPARK_VERSION = "4.1.4"
"""The version that computes the tables: part of every key, and checked by every job."""

_ROOM = Path(__file__).resolve().parents[1]
_LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class SparkPlan:
    """One Spark job: the script, the address of its job file (None: nothing to do), and how many partitions it makes."""

    application: str
    job_uri: str | None
    todo: int


def application(stage: str) -> str:
    """Return the script of a stage's Spark job."""
    return str(_ROOM / stage / "job.py")


def submit(plan: SparkPlan) -> bool:
    """Submit a planned job and wait for it, passing on its output line by line; return False when there was nothing to do."""
    if plan.job_uri is None:
        return False
    program = os.environ.get("PERENNIAL_SPARK_SUBMIT")
    if not program:
        raise PerennialError("PERENNIAL_SPARK_SUBMIT is not set. Start the stack (make up), or name a spark-submit there.")
    last: deque[str] = deque(maxlen=_LAST_LINES)
    command = [program, plan.application, plan.job_uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            log.info("%s", line.rstrip())
    if process.returncode != 0:
        raise PerennialError(f"Spark job {plan.job_uri} ended with {process.returncode}. Its last lines:\n" + "\n".join(last))
    return True
