"""The dates of the demo and of the test pipeline, made as small and as big ones: equal digests, and an equal quarantine."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from returned_orders import drops
from spark_job import run_divided

from perennial.analyse.job_file import AnalyseJob, CleanTable, ProfileToMake
from perennial.analyse.query_items import Days, features_query, labels_query, lookup_query
from perennial.clean import plan
from perennial.clean.job_file import CleanJob, DropToClean, FileToClean
from perennial.collect.content import read_content
from perennial.config.load import load_pipeline
from perennial.config.pipeline import Pipeline
from perennial.demo.feed import drop_rows
from perennial.lake.days import REFERENCE
from stack.config import REPO

JOB = """
import json, sys
from dataclasses import replace
from pyspark.sql import SparkSession
from perennial.analyse import job as analyse_job, partitions
from perennial.analyse.job_file import AnalyseJob
from perennial.clean import job as clean_job
from perennial.clean.job_file import CleanJob

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
kept, tasks, commit = {}, {}, clean_job.commit


def watched(rows, name, **facts):
    table = name.rpartition(".")[2].strip("`")
    tasks[table] = rows.rdd.getNumPartitions()
    kept.update({f"{table} {day}": [made.digest, made.rows] for day, made in (facts.get("partitions") or {}).items()})
    commit(rows, name, **facts)


clean_job.commit = partitions.commit = watched
with open(sys.argv[1]) as jobs:
    for clean, analyse in map(json.loads, jobs):
        kept.clear(), tasks.clear()
        clean_job.clean(spark, CleanJob.from_json(clean))
        analyse_job.analyse(spark, AnalyseJob.from_json(analyse))
        rows = spark.table(f"ice.{clean['database']}.quarantine").collect()
        broken = sorted(json.dumps(row.asDict(), default=str, sort_keys=True) for row in rows)
        print("SAID " + json.dumps([kept, broken, tasks]))
"""
DEMO_DAYS = [date(2013, 2, 11)]
ORDER_DAYS = [date(2026, 3, 1), date(2026, 3, 2)]


def demo_drop(name: str, day: date) -> dict[str, bytes]:
    """Return a drop of the demo in two files, with a row that breaks the contract and one that is there twice."""
    rows = drop_rows(name, day)
    rows[5][list(rows[5])[-2]] = "no number"
    rows.append(rows[9])
    return {f"{part}.csv": as_csv(rows[part::2]) for part in range(2)}


def as_csv(rows: Sequence[Mapping[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def order_drop(name: str, day: date) -> dict[str, bytes]:
    """Return a drop of the test pipeline with its first rows twice."""
    return {
        file: body + b"".join(body.splitlines(keepends=True)[1:3])
        for file, body in drops(day)[name].items()
        if file.endswith((".csv", ".gz"))
    }


def land(folder: Path, pipeline: Pipeline, name: str, day: str, bodies: Mapping[str, bytes]) -> DropToClean:
    """Return a drop as collect hands it to clean."""
    spec, files, header = pipeline.tables[name], [], []
    for file, body in bodies.items():
        path = folder / f"{pipeline.name}-{name}-{day}-{file}"
        path.write_bytes(body)
        content = read_content([body], compressed=file.endswith(".gz"), max_bytes=2**30, dialect=spec.csv)
        assert content.problems == []
        header = content.columns
        files.append(FileToClean(file, path.as_uri(), content.rows, content.line_end, content.unclear, content.by_lines))
    return DropToClean("key", (folder / "refused").as_uri(), header, files)


def draw_jobs(folder: Path, pipeline: Pipeline, days: list[date], landed: Any, references: Mapping[str, bytes]) -> list[Any]:
    """Return the jobs of the dates in the small way and in the big one."""
    texts = [day.isoformat() for day in days]
    held: dict[str, dict[str, DropToClean]] = {
        name: {str(day): land(folder, pipeline, name, str(day), landed(name, day)) for day in days} for name in pipeline.sources
    }
    held |= {name: {REFERENCE: land(folder, pipeline, name, "all", {f"{name}.csv": body})} for name, body in references.items()}
    made: Days = (dict.fromkeys(texts, "key"), {})
    found = []
    for way in ("small", "big"):
        tables = [plan.table_to_clean(pipeline, name, drop) for name, drop in held.items()]
        clean = CleanJob(f"{way}_{pipeline.name}", pipeline.time_zone, tables).to_json()
        for table in clean["tables"]:
            table["big"] = sorted(table["days"]) if way == "big" else []
            table["max_quarantine_share"] = 0.5
        analyse = AnalyseJob(
            database=f"{way}_{pipeline.name}",
            time_zone=pipeline.time_zone,
            lookback_days=pipeline.training.lookback_days,
            tables={name: CleanTable(f"clean_{name}", None, name in pipeline.sources) for name in pipeline.tables},
            lookups=[lookup_query(pipeline, name, made) for name in pipeline.inputs.lookups],
            features=[features_query(pipeline, made, {name: made[0] for name in pipeline.inputs.lookups})],
            labels=[labels_query(pipeline, made)] if pipeline.label.known_after_days else [],
            analysis=[],  # queries like the lookups
            profile=[ProfileToMake("profile", "the profile", *made, sources=list(pipeline.sources))],
            withdraw={},
            is_big=way == "big",
        )
        found.append([clean, analyse.to_json()])
    return found


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The results of the demo and of the test pipeline, each in the small way and in the big way."""
    folder = tmp_path_factory.mktemp("ways")
    demo, orders = load_pipeline("flight_delays"), load_pipeline("returned_orders", REPO / "tests" / "pipelines")
    planes = as_csv(
        [{name: "1" for name in demo.tables["planes"].columns} | {"tailnum": f"N{number}", "year": "1999"} for number in range(9)]
    )
    jobs = draw_jobs(folder, demo, DEMO_DAYS, demo_drop, {"planes": planes})
    jobs += draw_jobs(folder, orders, ORDER_DAYS, order_drop, {})
    return run_divided(folder, JOB, jobs, split_bytes=20000)


@pytest.mark.parametrize(("place", "tables"), [(0, 11), (2, 6)], ids=["demo", "test pipeline"])
def test_a_date_made_as_a_big_one_has_the_results_of_a_small_one(said: list[Any], place: int, tables: int) -> None:
    (small, small_broken, _), (big, big_broken, tasks) = said[place : place + 2]
    assert big == small
    assert big_broken == small_broken
    assert len({name.split()[0] for name in small}) == tables
    assert {json.loads(row)["rule"] for row in small_broken} >= {"duplicate_key"}
    assert max(tasks[name] for name in ("clean_flights", "clean_orders") if name in tasks) > 1, "the date was not divided"
