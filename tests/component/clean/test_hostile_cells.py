"""Cells as long as collect allows, made to be read slowly: no type takes more than a moment for them, in Spark or in Python."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest
from spark_job import run_job

from perennial.config.date_format import read_format
from perennial.scaffold.cells import infer_type, iso_text, read_cell

MAX_CELL = csv.field_size_limit()
PIECES = ("1", "1.", ".1", "1e", "0", "-", "T00:00", "00:00Z", "2026-03-01T", " 12", "1/1/", "AM", "true", "é", "a ")
CELLS = [(piece * MAX_CELL)[: MAX_CELL - 1] + end for piece in PIECES for end in ("x", "1", "Z", "")]
KINDS = ("string", "integer", "double", "double,", "boolean", "date", "time", "timestamp")
FORMATS = ("d.M.yyyy", "M/d/yy h:mm a", "yyyy-MM-dd HH:mm:ss.SSSSSSSSS")
JOB = """
import json, sys, time
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from perennial.clean.cells import typed

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
with open(sys.argv[1]) as file:
    cells = json.load(file)
rows = spark.createDataFrame([(cell,) for cell in cells], "text string").coalesce(1).persist()
rows.count()
said = {}
for kind, form in json.loads(sys.argv[2]):
    value = typed(kind.removesuffix(","), F.col("text"), "," if kind.endswith(",") else ".", form)
    began = time.monotonic()
    read = rows.select(value.isNotNull().alias("read")).collect()
    said[f"{kind} {form}"] = [time.monotonic() - began, sum(row.read for row in read)]
print("SAID " + json.dumps(said))
"""
MAX_SECONDS = 20
"""For all cells at once, on a busy machine. A pattern that backtracks takes minutes for one of them."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("spark")
    (folder / "cells").write_text(json.dumps(CELLS))
    cases = [*((kind, None) for kind in KINDS), *((read_format(form).kind, form) for form in FORMATS)]
    return dict(run_job(folder, JOB, ["--master", "local[1]"], [str(folder / "cells"), json.dumps(cases)]))


def test_spark_reads_the_longest_cells_of_each_type_at_once(said: dict[str, Any]) -> None:
    assert len(said) == len(KINDS) + len(FORMATS)
    assert {case: seconds for case, (seconds, _) in said.items() if seconds > MAX_SECONDS} == {}
    assert said["string None"][1] == len(CELLS)
    assert sum(read for case, (_, read) in said.items() if "double" not in case and "string" not in case) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_python_reads_the_longest_cells_of_each_type_at_once(kind: str) -> None:
    began = time.process_time()
    for cell in CELLS:
        read_cell(kind.removesuffix(","), cell, "," if kind.endswith(",") else ".")
    assert time.process_time() - began < MAX_SECONDS


def test_python_infers_the_type_of_the_longest_cells_at_once() -> None:
    began = time.process_time()
    for cell in CELLS:
        infer_type([cell])
        for form in FORMATS:
            iso_text(cell, form)
    assert time.process_time() - began < MAX_SECONDS
