"""
Airflow imports this module when one of its processes starts.

The scheduler forks a process for each task. What it has imported by then the task finds ready: two CPU seconds a task less.
Our own code is not among it: a task must run what the files say now, because their digests are part of every key.
"""

from __future__ import annotations

import importlib
import sys

USED_BY_TASKS = (
    "airflow.providers.apache.spark.operators.spark_submit",
    "airflow.sdk.execution_time.task_runner",
    "boto3",
    "httpx",
    "onnxruntime",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pydantic",
    "pyiceberg.catalog.hive",
    "pyiceberg.io.pyarrow",
    "pyiceberg.table",
    "scipy.special",
    "sklearn.metrics",
    "yaml",
)


def is_scheduler(arguments: list[str]) -> bool:
    """Tell whether this process was started as `airflow scheduler`."""
    return arguments[1:2] == ["scheduler"]


if is_scheduler(sys.argv):
    for name in USED_BY_TASKS:
        importlib.import_module(name)
