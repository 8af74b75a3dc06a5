"""One Spark session that works on planned jobs, one after another, over tables in a folder: a start for many jobs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from boto3.session import Session
from pyiceberg.table import StaticTable
from spark_job import INTERPRETED, SUBMIT

from perennial.errors import RefusedError
from perennial.lake import files
from perennial.lake.files import file_io_properties
from perennial.lake.tables import Tables, TableState, read_partitions
from perennial.spark.conf import s3a_conf
from perennial.spark.submit import SparkPlan
from stack.spark_archive import hadoop_catalog

PROGRAM = """
import json
from pyspark.sql import SparkSession
from perennial.analyse.job import analyse
from perennial.analyse.job_file import AnalyseJob
from perennial.clean.job import clean
from perennial.clean.job_file import CleanJob
from perennial.errors import RefusedError
from perennial.score.job import score
from perennial.score.job_file import ScoreJob
from perennial.spark.job import read_text

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
with open("jobs") as jobs:
    for uri in jobs:
        stored, said = json.loads(read_text(spark, uri.strip())), None
        try:
            if stored["kind"] == "clean":
                clean(spark, CleanJob.from_json(stored))
            elif stored["kind"] == "score":
                score(spark, ScoreJob.from_json(stored))
            else:
                analyse(spark, AnalyseJob.from_json(stored))
        except RefusedError as error:
            said = str(error)
        print("SAID " + json.dumps(said), flush=True)
"""


@dataclass(frozen=True, slots=True)
class SparkLoop:
    """The session: its folder, the pipe that it reads jobs from, and what it says."""

    folder: Path
    jobs: IO[str]
    said: IO[str]

    def run(self, plan: SparkPlan) -> None:
        """Work on a planned job, if there is anything to do; raise what it refuses."""
        if plan.job_uri is None:
            return
        print(plan.job_uri, file=self.jobs, flush=True)
        lines = []
        for line in self.said:
            if line.startswith("SAID "):
                if (refused := json.loads(line.removeprefix("SAID "))) is not None:
                    raise RefusedError(refused)
                return
            lines.append(line)
        raise AssertionError("".join(lines))


class FolderTables(Tables):
    """The tables of the session's catalog, which is a folder."""

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(database)
        self._folder = folder / "warehouse" / database

    def at_one_moment(self) -> Tables:
        return self

    def state(self, table: str) -> TableState:
        name, metadata = f"{self.database}.{table}", self._folder / table / "metadata"
        if not metadata.exists():
            return TableState(name, None, None, {})
        version = (metadata / "version-hint.text").read_text().strip()
        location = f"file://{metadata}/v{version}.metadata.json"
        loaded = StaticTable.from_metadata(location, properties=file_io_properties(Session()))
        snapshot = loaded.current_snapshot()
        assert snapshot is not None
        columns = tuple(column.name for column in loaded.schema().fields)
        return TableState(name, location, snapshot.snapshot_id, *read_partitions(loaded.metadata, snapshot), columns)


@contextmanager
def spark_loop(folder: Path) -> Iterator[SparkLoop]:
    """
    Start a session in a folder of its own; it reaches S3 with the settings of this process.

    The files of its tables are in that folder and not in the lake, which readers of tables accept meanwhile.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "is_below", lambda root, address: True)
        patch.setattr(files, "find_foreign", lambda root, addresses, properties: [])
        with _session(folder) as session:
            yield session


@contextmanager
def _session(folder: Path) -> Iterator[SparkLoop]:
    (folder / "loop.py").write_text(PROGRAM)
    os.mkfifo(folder / "jobs")
    conf = s3a_conf(os.environ["AWS_ENDPOINT_URL_S3"], "spark.hadoop.")
    conf |= {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.sql.session.timeZone": "UTC",
    }
    words = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    process = subprocess.Popen(
        [SUBMIT, *INTERPRETED, *hadoop_catalog(folder), *words, folder / "loop.py"],
        cwd=folder,
        env={**environment, "PERENNIAL_VAR": str(folder), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        # Also for reading: to open it for writing alone would wait for a session that may have failed.
        with os.fdopen(os.open(folder / "jobs", os.O_RDWR), "w") as jobs:
            yield SparkLoop(folder, jobs, process.stdout)
        process.wait()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
