"""
Modules that the scheduler imports in advance. Airflow imports this file whenever one of its processes starts.

The scheduler forks a process for each task, and the task inherits the imported modules. This saves two CPU seconds a task.
A task must run the current files of Perennial, because their digests are part of every fingerprint. So each fork compares the
files with those that were imported, and imports its own modules again if one of them has changed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

USED_BY_TASKS = (
    "airflow.models.variable",
    "airflow.providers.apache.spark.operators.spark_submit",
    "airflow.providers.standard.decorators.python",
    "airflow.sdk.execution_time.task_runner",
    "boto3",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "httpx",
    "onnxruntime",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pydantic",
    "pydantic_settings",
    "pyiceberg.catalog.hive",
    "pyiceberg.catalog.noop",
    "pyiceberg.io.pyarrow",
    "pyiceberg.table",
    "scipy.special",
    "sklearn.metrics",
    "yaml",
)

OWN_USED_BY_TASKS = (
    "perennial.analyse.plan",
    "perennial.backfill.batch",
    "perennial.clean.plan",
    "perennial.collect.collect",
    "perennial.deploy.deploy",
    "perennial.deploy.newest",
    "perennial.evaluate.evaluate",
    "perennial.freshness.unchanged",
    "perennial.runtime.choice",
    "perennial.train.work",
    "perennial_airflow.doc",
    "perennial_airflow.operators.plan_run",
    "perennial_airflow.operators.spark_stage",
    "perennial_airflow.operators.wait_for_drop",
    "perennial_airflow.params",
    "perennial_airflow.tasks",
    "perennial_airflow.timetable",
)
OWN_PACKAGES = ("perennial", "perennial_airflow")

FileState = tuple[int, int, int]
"""Inode, time of the last change in ns, and bytes. A copy with the times of the old file has another time of change."""

_imported: dict[str, FileState | None] = {}
"""The files of the imported modules of Perennial, as they were before the import."""


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
    import_own_code()


def import_own_code() -> None:
    """Import Perennial's modules, after the state of their files was read: no change can slip in between."""
    states = {str(file): _state(file) for package in OWN_PACKAGES for file in _files(package)}
    for name in OWN_USED_BY_TASKS:
        importlib.import_module(name)
    if not _imported:
        os.register_at_fork(after_in_child=forget_changed_code)
    _imported.update((file, states.get(file)) for name in _own_modules() if (file := sys.modules[name].__file__))


def forget_changed_code() -> None:
    """Remove Perennial's modules from those that are imported, if the file of one has changed since its import."""
    checked_ns = time.time_ns()
    if any(_has_changed(*imported) for imported in _imported.items()):
        forget_own_code()
    else:
        # They are those of this moment. A module that this process imports later may have a younger file than they.
        vars(sys.modules["perennial"])["IMPORTED_NS"] = checked_ns


def forget_own_code() -> None:
    """Remove all of Perennial's modules from those that are imported."""
    for name in _own_modules():
        del sys.modules[name]


def _own_modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in OWN_PACKAGES]


def _files(package: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield from Path(folder).rglob("*.py")


def _has_changed(file: str, before: FileState | None) -> bool:
    try:
        return _state(file) != before
    except OSError:
        return True


def _state(file: str | Path) -> FileState:
    found = os.stat(file)
    return found.st_ino, found.st_ctime_ns, found.st_size


if is_scheduler(sys.argv):
    import_for_tasks()
