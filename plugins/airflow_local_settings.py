"""
Modules that the scheduler imports in advance. Airflow imports this file whenever one of its processes starts.

The scheduler forks a process for each task, and the task inherits the imported modules. This saves two CPU seconds a task.
Perennial's own code is left out: a task must run the current files, because their digests are part of every fingerprint.
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
    "pydantic_settings",
    "pyiceberg.catalog.hive",
    "pyiceberg.io.pyarrow",
    "pyiceberg.table",
    "scipy.special",
    "sklearn.metrics",
    "yaml",
)


def is_scheduler(arguments: list[str]) -> bool:
    """Return whether this process was started as `airflow scheduler`."""
    return arguments[1:2] == ["scheduler"]


def import_for_tasks() -> None:
    """Import the modules, and load boto3's model of S3 into its default session, which perennial.store.objects uses."""
    for name in USED_BY_TASKS:
        importlib.import_module(name)
    boto3 = importlib.import_module("boto3")
    boto3.setup_default_session()
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106 (not a key)


if is_scheduler(sys.argv):
    import_for_tasks()
