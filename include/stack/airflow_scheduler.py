"""
Airflow's scheduler with what every task imports loaded before its workers fork.

A task runs in a fork of a worker, which is a fork of the scheduler: a module that the scheduler has imported costs a
task nothing, one that it has not costs each task its import again.
"""

from __future__ import annotations

import importlib
import sys

MODULES = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.apache.spark.operators.spark_submit",  # brings the Kubernetes clients: 2 s
    "boto3",
    "perennial.pipeline_file",
)
"""Imported by every task. Nothing that starts threads: they do not survive a fork."""


def main() -> None:
    """Import, then be `airflow scheduler`."""
    for name in MODULES:
        importlib.import_module(name)
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    airflow()


if __name__ == "__main__":
    main()
