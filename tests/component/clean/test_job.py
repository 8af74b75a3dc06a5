"""The job of clean in Spark, on drops in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spark_job import run_job

from perennial.pipeline_tables import ColumnContract
from stack.spark_archive import hadoop_catalog

JOB = """
import json, sys
from pyspark.sql import SparkSession
from perennial.clean import job as clean_job
from perennial.errors import RefusedError

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
cached, commit = {}, clean_job.commit


def watched(rows, name, **facts):
    cached[name] = rows.storageLevel.useMemory
    commit(rows, name, **facts)


clean_job.commit = watched
try:
    clean_job.clean(spark, json.loads(sys.argv[1]))
    said = {"cached": cached, "rows": {name: spark.table(name).count() for name in cached}}
except RefusedError as error:
    said = str(error)
print("SAID " + json.dumps(said))
"""
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
OWN_ROWS = "SELECT date, n, n * 2 AS twice FROM drop"
ROWS_BEFORE = "SELECT date, n, SUM(n) OVER (ORDER BY date, n) AS so_far FROM drop"


ROWS_OF_A = """
"values": sorted(f"{row.date} {row.n} {row.channel}" for row in spark.table("ice.lab.clean_a").collect()),
"broken": [f"{row.date} {row.position} {row.column} {row.rule}" for row in spark.table("ice.lab.quarantine").collect()]
"""


def table(folder: Path, name: str, sql: str) -> dict[str, Any]:
    days = {}
    for day in DAYS:
        file = folder / f"{name}-{day}.csv"
        file.write_text("n\n1\n2\n")
        days[day] = {
            "key": "key",
            "header": ["n"],
            "files": [{"uri": str(file), "name": "a.csv", "rows": 2}],
            "refusal": str(folder / "refusal"),
        }
    column = ColumnContract.model_validate({"type": "integer"}).model_dump(mode="json")
    return {
        "name": name, "table": f"clean_{name}", "columns": [["n", column]], "key": ["n"], "max_quarantine_share": 0.0, "sql": sql,
        "days": days, "held": [], "withdraw": [], "same": {},
    }  # fmt: skip


def cleaned(folder: Path, *tables: dict[str, Any]) -> Any:
    return run_job(folder, JOB, hadoop_catalog(folder), [json.dumps({"database": "lab", "tables": tables})])


def test_rows_of_every_table_are_still_cached_when_they_are_written(tmp_path: Path) -> None:
    """Spark drops from its cache what was read through a view that is replaced; the tables are cleaned side by side."""
    names = ("a", "b", "c", "d")
    said = cleaned(tmp_path, *(table(tmp_path, name, OWN_ROWS) for name in names))
    full = [f"ice.`lab`.`clean_{name}`" for name in names]
    assert said == {"cached": dict.fromkeys(full, True), "rows": dict.fromkeys(full, 6)}


def test_cells_are_found_by_the_names_of_each_header_and_what_a_drop_lacks_is_null(tmp_path: Path) -> None:
    """Case 2: a column that begins, required where it is there; and files in another order."""
    drops = {"2026-03-01": "n\n1\n2\n", "2026-03-02": "channel,n\nweb,1\n,2\n", "2026-03-03": "n,channel\n1,web\n2,app\n"}
    begun = table(tmp_path, "a", "SELECT date, n, channel FROM drop")
    required = ColumnContract.model_validate({"type": "string", "required": True, "since": "2026-03-02"}).rules
    begun["columns"].append(["channel", required])
    begun["max_quarantine_share"] = 0.5
    for day, text in drops.items():
        Path(begun["days"][day]["files"][0]["uri"]).write_text(text)
        begun["days"][day]["header"] = text.partition("\n")[0].split(",")
    said = run_job(
        tmp_path,
        JOB.replace('"cached": cached', ROWS_OF_A),
        hadoop_catalog(tmp_path),
        [json.dumps({"database": "lab", "tables": [begun]})],
    )
    assert said["values"] == [
        "2026-03-01 1 None", "2026-03-01 2 None", "2026-03-02 1 web", "2026-03-03 1 web", "2026-03-03 2 app"
    ]  # fmt: skip
    assert said["broken"] == ["2026-03-02 2 channel required"]


def test_sql_that_sees_other_dates_is_refused(tmp_path: Path) -> None:
    said = cleaned(tmp_path, table(tmp_path, "a", ROWS_BEFORE))
    assert said.startswith(
        "sources/a.sql: 2026-03-02 gives another result alone: 2 rows among the dates that are made with it, 2 alone; "
        "columns that differ: so_far."
    )
    assert said.endswith("Let each row follow from rows of its own date.")
