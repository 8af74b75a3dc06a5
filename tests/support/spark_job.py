"""A program run by the embedded Spark, without a stack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stack.config import REPO
from stack.spark_archive import hadoop_catalog

INTERPRETED = ["--conf", "spark.sql.codegen.factoryMode=NO_CODEGEN"]
"""Spark compiles no queries, as in the product's jobs of few rows: it would take most of the time of a test."""

SUBMIT = REPO / ".spark" / "bin" / "perennial-spark-submit"


def run_job(folder: Path, program: str, conf: Sequence[str] = (), arguments: Sequence[str] = ()) -> Any:
    """Submit a program from a folder of its own and return the JSON of the line that it says after `SAID `."""
    (value,) = run_jobs(folder, program, conf, arguments)
    return value


def run_jobs(folder: Path, program: str, conf: Sequence[str] = (), arguments: Sequence[str] = ()) -> list[Any]:
    """
    Do the same for a program that says several such lines.

    Spark takes 12 CPU seconds to start, so a file of tests does best to have one program do the work of them all.
    """
    return said(submit(folder, program, conf, arguments))


def run_divided(folder: Path, program: str, jobs: Iterable[Any], split_bytes: int) -> list[Any]:
    """
    Do the same for a program whose argument is a file of jobs, in a local catalog.

    :param split_bytes: bytes of a file that a task reads, so few that several tasks read some files
    """
    (folder / "jobs").write_text("\n".join(map(json.dumps, jobs)))
    settings = {
        "spark.sql.files.maxPartitionBytes": str(split_bytes),
        "spark.sql.files.openCostInBytes": "500",
        "spark.sql.shuffle.partitions": "3",
    }
    conf = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    return run_jobs(folder, program, [*hadoop_catalog(folder), *conf], [str(folder / "jobs")])


def submit(
    folder: Path, program: str, conf: Sequence[str] = (), arguments: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """
    Submit a program from a folder of its own, and return its output and Spark's log.

    :param conf: arguments of spark-submit; they prevail over those of INTERPRETED
    """
    (folder / "job.py").write_text(program)
    done = subprocess.run(
        [SUBMIT, *INTERPRETED, *conf, folder / "job.py", *arguments],
        cwd=folder,
        env={"PERENNIAL_VAR": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def said(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return the JSON of each line that a program said after `SAID `."""
    return [json.loads(line.removeprefix("SAID ")) for line in done.stdout.splitlines() if line.startswith("SAID ")]
