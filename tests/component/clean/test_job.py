"""The job of clean in Spark, on drops in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from spark_job import run_jobs

from perennial.config.dialect import Csv
from perennial.config.tables import ColumnContract
from stack.spark_archive import hadoop_catalog

JOB = """
import json, sys
from contextlib import contextmanager
from pyspark.sql import SparkSession
from perennial.clean import job as clean_job, shape
from perennial.clean.job_file import CleanJob
from perennial.errors import RefusedError

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
cached, commit = {}, clean_job.commit
limited, checked, judge_days, within_budget = set(), {}, shape.judge_days, clean_job.within_budget


def watched(rows, name, **facts):
    cached[name] = rows.storageLevel.useMemory
    commit(rows, name, **facts)


@contextmanager
def watched_budget(spark, file):
    with within_budget(spark, file):
        limited.add(file)
        yield
        limited.discard(file)


def watched_judge(rows, table):
    checked[table.name] = f"The check of the rows of {table.name}" in limited
    return judge_days(rows, table)


clean_job.commit, clean_job.within_budget, shape.judge_days = watched, watched_budget, watched_judge
for job in json.loads(sys.argv[1]):
    cached.clear()
    try:
        clean_job.clean(spark, CleanJob.from_json(job))
        said = {"cached": cached, "rows": {name: spark.table(name).count() for name in cached}}
        if "ice.`lab`.`clean_escaped`" in cached:
            rows = spark.table("ice.lab.clean_escaped").selectExpr("id AS Id", "s", "CAST(day AS STRING) AS day").collect()
            said["values"], said["days"] = {row.Id: row.s for row in rows}, {row.Id: row.day for row in rows}
            broken = spark.table("ice.lab.quarantine").where("source = 'escaped'").collect()
            said["broken"] = [[row.position, row.column, row.rule, row.value] for row in broken]
        if "ice.`lab`.`clean_begun`" in cached:
            said["values"] = sorted(f"{row.date} {row.n} {row.channel}" for row in spark.table("ice.lab.clean_begun").collect())
            broken = spark.table("ice.lab.quarantine").collect()
            said["broken"] = [f"{row.date} {row.position} {row.column} {row.rule}" for row in broken]
    except RefusedError as error:
        said = str(error)
    print("SAID " + json.dumps(said))
print("SAID " + json.dumps(checked))
"""
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
OWN_ROWS = "SELECT date, n, n * 2 AS twice FROM drop"
ROWS_BEFORE = "SELECT date, n, SUM(n) OVER (ORDER BY date, n) AS so_far FROM drop"


def table(folder: Path, name: str, sql: str) -> dict[str, Any]:
    days = {}
    for day in DAYS:
        file = folder / f"{name}-{day}.csv"
        file.write_text("n\n1\n2\n")
        days[day] = {
            "key": "key",
            "header": ["n"],
            "files": [{"uri": str(file), "name": "a.csv", "rows": 2, "line_end": "\n", "unclear": []}],
            "refusal": str(folder / "refusal"),
        }
    column = ColumnContract.model_validate({"type": "integer"}).rules
    return {
        "name": name, "table": f"clean_{name}", "columns": [["n", column]], "key": ["n"], "header": {"n": "n"},
        "dialect": Csv().model_dump(), "max_quarantine_share": 0.0, "sql": sql,
        "days": days, "held": [], "withdraw": [], "same": {},
    }  # fmt: skip


NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What comes of two jobs: one of several tables, and one that is refused."""
    folder = tmp_path_factory.mktemp("job")
    jobs = [
        {"database": "lab", "time_zone": "UTC", "tables": [table(folder, name, OWN_ROWS) for name in NAMES]},
        {"database": "other", "time_zone": "UTC", "tables": [table(folder, "a", ROWS_BEFORE)]},
        {"database": "lab", "time_zone": "UTC", "tables": [begun(folder)]},
        {"database": "lab", "time_zone": "UTC", "tables": [escaped(folder)]},
    ]
    return run_jobs(folder, JOB, hadoop_catalog(folder), [json.dumps(jobs)])


def test_rows_of_every_table_are_still_cached_when_they_are_written(said: list[Any]) -> None:
    """Spark drops from its cache what was read through a view that is replaced; the tables are cleaned side by side."""
    full = [f"ice.`lab`.`clean_{name}`" for name in NAMES]
    assert said[0] == {"cached": dict.fromkeys(full, True), "rows": dict.fromkeys(full, 6)}


def test_the_check_of_rows_has_the_time_limit_of_a_query(said: list[Any]) -> None:
    assert said[-1] == dict.fromkeys((*NAMES, "begun", "escaped"), True)


def begun(folder: Path) -> dict[str, Any]:
    """Return a table with a column that begins, required where it is there; and files in another order."""
    drops = {"2026-03-01": "n\n1\n2\n", "2026-03-02": "channel,n\nweb,1\n,2\n", "2026-03-03": "n,channel\n1,web\n2,app\n"}
    begun = table(folder, "begun", "SELECT date, n, channel FROM drop")
    required = ColumnContract.model_validate({"type": "string", "required": True, "since": "2026-03-02"}).rules
    begun["columns"].append(["channel", required])
    begun["header"]["channel"] = "channel"
    begun["max_quarantine_share"] = 0.5
    for day, text in drops.items():
        Path(begun["days"][day]["files"][0]["uri"]).write_text(text)
        begun["days"][day]["header"] = text.partition("\n")[0].split(",")
    return begun


def escaped(folder: Path) -> dict[str, Any]:
    """Return a table whose quotes are escaped by backslashes, under other names in the header, with dates of a format."""
    escaped = table(folder, "escaped", "SELECT date, id, s, day FROM drop")
    file = folder / "escaped.csv"
    rows = [
        '1,"He said \\"hi\\"",31.12.2026',
        '2,"a \\"b\\", c",01.02.2026',
        "3,plain,",
        '4,"ends with \\"q\\"",-',
        '5,"5\\" pipe",29.02.2024',
        "6,x\\y,31.12.2026",
        '7,"C:\\\\",31.12.2026',
        "8,no such day,31.02.2026",
        "9,in ISO 8601,2026-12-31",
    ]
    file.write_text("\n".join(["Id,Some Text,Am", *rows, ""]))
    drop = escaped["days"][DAYS[0]] | {"header": ["Id", "Some Text", "Am"]}
    drop["files"] = [{"uri": str(file), "name": "a.csv", "rows": 9, "line_end": "\n", "unclear": [6]}]
    text = ColumnContract.model_validate({"type": "string", "from": "Some Text"}).rules
    day = ColumnContract.model_validate({"type": "date", "format": "dd.MM.yyyy", "null_text": "-", "from": "Am"}).rules
    return escaped | {
        "columns": [["id", escaped["columns"][0][1]], ["s", text], ["day", day]],
        "header": {"id": "Id", "s": "Some Text", "day": "Am"},
        "key": ["id"],
        "dialect": Csv(escape="\\").model_dump(),
        "max_quarantine_share": 0.4,
        "days": {DAYS[0]: drop},
    }


def test_quotes_after_a_backslash_are_read_and_an_unclear_row_is_in_quarantine(said: list[Any]) -> None:
    assert said[3]["values"] == {
        "1": 'He said "hi"', "2": 'a "b", c', "3": "plain", "4": 'ends with "q"', "5": '5" pipe', "7": "C:\\"
    }  # fmt: skip
    assert [6, "", "cells", "6,x\\y,31.12.2026"] in said[3]["broken"]


def test_dates_of_a_format_are_read_and_other_texts_are_in_quarantine(said: list[Any]) -> None:
    assert said[3]["days"] == {
        "1": "2026-12-31", "2": "2026-02-01", "3": None, "4": None, "5": "2024-02-29", "7": "2026-12-31"
    }  # fmt: skip
    types = [broken for broken in said[3]["broken"] if broken[2] == "type"]
    assert sorted(types) == [[8, "day", "type", "31.02.2026"], [9, "day", "type", "2026-12-31"]]


def test_cells_are_found_by_the_names_of_each_header_and_what_a_drop_lacks_is_null(said: list[Any]) -> None:
    """Case 2."""
    assert said[2]["values"] == [
        "2026-03-01 1 None", "2026-03-01 2 None", "2026-03-02 1 web", "2026-03-03 1 web", "2026-03-03 2 app"
    ]  # fmt: skip
    assert said[2]["broken"] == ["2026-03-02 2 channel required"]


def test_sql_that_sees_other_dates_is_refused(said: list[Any]) -> None:
    assert said[1].startswith(
        "sources/a.sql: the result for 2026-03-02 depends on the other dates in its batch: 2 rows in the batch, 2 alone; "
        "columns that differ: so_far."
    )
    assert said[1].endswith("Compute each row from rows of its own date only.")
