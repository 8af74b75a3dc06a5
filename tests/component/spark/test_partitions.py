"""Partitions as Spark digests and stores them: equal content, equal digest; a key stands there once a date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from spark_job import run_job

from stack.spark_archive import hadoop_catalog

JOB = """
import json
from pyspark.sql import SparkSession
from perennial.analyse.job_file import Query, TableToMake
from perennial.analyse.partitions import store_days
from pyspark.sql import functions as F
from perennial.errors import LostRaceError, RefusedError
from perennial.spark import tables as spark_tables
from perennial.spark.digest import partition_contents
from perennial.spark.sql import run_query
from perennial.spark.tables import open_database
from perennial.lake.tables import Partition

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
open_database(spark, "lab")
COLUMNS = "AS t(date, k, `odd ``name`, x, at)"
ONE = "(DATE '2026-03-01', 'a', 1, 0.5D, TIMESTAMP '2026-03-01 05:00:00')"
TWO = "(DATE '2026-03-01', 'b', 2, -0.0D, NULL)"
ZERO = "(DATE '2026-03-01', 'b', 2, 0.0D, NULL)"
AGAIN = "(DATE '2026-03-01', 'a', 3, 0.5D, NULL)"
NULL = "(DATE '2026-03-01', NULL, 3, CAST('NaN' AS DOUBLE), NULL)"
OTHER = "(DATE '2026-03-02', 'a', 3, 0.5D, NULL)"


def rows(*values, parts=1):
    return spark.sql(f"SELECT * FROM VALUES {', '.join(values)} {COLUMNS}").repartition(parts)


def digest(query):
    return partition_contents(spark.sql(query), "date")[DAY].digest


def contents(frame):
    return {day: [found.digest, found.rows, found.keys] for day, found in partition_contents(frame, "date", ["k"]).items()}


def stored(frame, days, alone=None):
    item = TableToMake(table="t", file="x.sql", days=dict.fromkeys(days, "key"), held={})
    try:
        store_days(frame, item, "lab", day_column="date", unique=["k"], alone=alone and {DAY: alone})
    except RefusedError as error:
        return str(error)
    return sorted(str(row.asDict()) for row in spark.table("ice.lab.t").collect())


def failed(constant):
    sql = f"SELECT DATE '2026-03-01' AS date, {constant} AS x"
    item = Query(table="t", file="x.sql", days={"2026-03-01": "key"}, held={}, sql=sql)
    try:
        store_days(run_query(spark, "x.sql", sql, ()), item, "lab", day_column="date")
    except RefusedError as error:
        return str(error).partition("\\n")[0]


NEARLY = "(DATE '2026-03-01', 'a', 1, 0.50000000000000011D, TIMESTAMP '2026-03-01 05:00:00')"
MOVED = "(DATE '2026-03-01', 'a', 1, 0.5001D, TIMESTAMP '2026-03-01 05:00:00')"
RENAMED = "(DATE '2026-03-01', 'c', 1, 0.5D, TIMESTAMP '2026-03-01 05:00:00')"
DAY, DAYS = "2026-03-01", ["2026-03-01", "2026-03-02"]
found = {
    "alone the same": stored(rows(ONE, TWO, OTHER), DAYS, rows(TWO, NEARLY)),
    "alone without NaN": stored(rows(ONE, NULL, OTHER), DAYS, rows(ONE, NULL)),
    "alone moved": stored(rows(ONE, TWO, OTHER), DAYS, rows(MOVED, TWO)),
    "alone renamed": stored(rows(ONE, TWO, OTHER), DAYS, rows(RENAMED, TWO)),
    "alone fewer": stored(rows(ONE, TWO, OTHER), DAYS, rows(ONE)),
    "alone none": stored(rows(ONE, TWO, OTHER), DAYS, rows(OTHER)),
    "both": contents(rows(ONE, TWO)),
    "other order, other tasks": contents(rows(TWO, ONE, parts=3)),
    "minus zero": contents(rows(ZERO, ONE)),
    "columns moved": contents(rows(ONE, TWO).select("at", "x", "k", "`odd ``name`", "date")),
    "one": contents(rows(ONE)),
    "twice": contents(rows(ONE, ONE)),
    "two dates": contents(rows(ONE, AGAIN, OTHER, NULL)),
    "collated": digest("SELECT DATE '2026-03-01' AS date, 'A' COLLATE UTF8_LCASE AS k"),
    "plain": digest("SELECT DATE '2026-03-01' AS date, 'A' AS k"),
    "ill-formed": [
        digest(f"SELECT DATE '2026-03-01' AS date, CAST(X'{a}' AS STRING) AS a, {b} AS b")
        for a, b in (("E2", "'-'"), ("E2313A", "CAST(NULL AS STRING)"))
    ],
    "stored": stored(rows(ONE, OTHER), ["2026-03-01", "2026-03-02"]),
    "doubled": stored(rows(ONE, AGAIN, OTHER), ["2026-03-01", "2026-03-02"]),
    "foreign": stored(rows(ONE, OTHER), ["2026-03-01"]),
    "constants": [
        failed("CAST(1 AS DECIMAL(38,38))"),
        failed("map('a', 1, 'a', 2)['a']"),
        failed("to_date('2026', 'YYYY')"),
        failed("format_string('%d', 'a')"),
    ],
}


def columns(table):
    return [f"{field.name} {field.dataType.simpleString()}" for field in spark.table(table).schema]


def put(select, day, table="ice.lab.changing"):
    # Replaces one day by what a query gives; returns the columns of the table and its rows.
    rows = spark.sql(f"SELECT DATE '{day}' AS date, {select}").select(*(ORDER or ["*"]))
    spark_tables.commit(
        rows,
        table,
        replaces=F.expr(f"date = DATE '{day}'"),
        partitioned_by=("date",),
        partitions={day: Partition("key", "digest", 1)},
    )
    kept = sorted(str(list(row)) for row in spark.sql(f"SELECT * FROM {table}").selectExpr("* EXCEPT (date)").collect())
    return [columns(table), kept]


ORDER = None
found["changes"] = [put("1 AS a, 'x' AS b", "2026-03-01"), put("2 AS a, 2.5D AS b", "2026-03-02"), put("'y' AS c", "2026-03-03")]
ORDER = ["c", "date"]
found["changes"].append(put("'z' AS c", "2026-03-03"))
ORDER = None
commits = spark.sql("SELECT count(*) FROM ice.lab.changing.metadata_log_entries").first()[0]
found["commits"] = [commits, spark.sql("SELECT count(*) FROM ice.lab.changing.snapshots").first()[0]]
small = [put("CAST(1 AS TINYINT) AS a", day, "ice.lab.small") for day in ("2026-03-01", "2026-03-02")]
schemas = spark.sql("SELECT count(DISTINCT latest_schema_id) FROM ice.lab.small.metadata_log_entries").first()[0]
found["small"] = [small[-1], schemas]

rows = spark.sql("SELECT 'x' AS code, DATE '2026-03-01' AS date")
for by in ((), ("date",), ()):
    shown = rows if by else rows.drop("date")
    partitions = {DAY: Partition("key", "digest", 1)}
    spark_tables.commit(shown, "ice.lab.divided", replaces=F.lit(True), partitioned_by=by, partitions=partitions)
    found.setdefault("divided", []).append([columns("ice.lab.divided"), spark.table("ice.lab.divided").count()])
first = spark.sql("SELECT snapshot_id FROM ice.lab.divided.snapshots ORDER BY committed_at").first()[0]
found["divided"].append(spark.sql(f"SELECT code FROM ice.lab.divided VERSION AS OF {first}").first()[0])

change_columns = spark_tables.change_columns


def overtaken(name, rows, partitioned_by):
    known = change_columns(name, rows, partitioned_by)
    spark.sql(f"ALTER TABLE {name} ADD COLUMN other INT")
    spark.sql(f"ALTER TABLE {name} DROP COLUMN a")
    return known


spark_tables.change_columns = overtaken
try:
    put("CAST(1 AS TINYINT) AS a", "2026-03-03", "ice.lab.small")
except LostRaceError as error:
    found["overtaken"] = str(error)
spark_tables.change_columns = change_columns
print("SAID " + json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run all of it in one Spark, over tables in a folder."""
    folder = tmp_path_factory.mktemp("spark")
    return dict(run_job(folder, JOB, hadoop_catalog(folder)))


def test_equal_content_has_one_digest(found: dict[str, Any]) -> None:
    assert found["both"] == found["other order, other tasks"] == found["minus zero"] == found["columns moved"]
    assert found["both"] != found["one"]


def test_doubled_row_shows(found: dict[str, Any]) -> None:
    (one,), (twice,) = found["one"].values(), found["twice"].values()
    assert (one[1:], twice[1:]) == ([1, 1], [2, 1])
    assert one[0] != twice[0]


def test_texts_of_other_collations_and_ill_formed_ones_have_digests(found: dict[str, Any]) -> None:
    assert len(found["collated"]) == len(found["plain"]) == 64
    assert len(set(found["ill-formed"])) == 2


def test_keys_are_counted_by_date(found: dict[str, Any]) -> None:
    assert {day: content[1:] for day, content in found["two dates"].items()} == {"2026-03-01": [3, 2], "2026-03-02": [1, 1]}


def test_key_that_stands_there_twice_is_refused_and_what_was_stored_stays(found: dict[str, Any]) -> None:
    assert len(found["stored"]) == 2
    assert found["doubled"].startswith("x.sql: several rows with the same (k) on a date: 2026-03-01: a, 2 times.")


def test_a_date_that_gives_another_result_alone_is_refused(found: dict[str, Any]) -> None:
    begins = "x.sql: the result for 2026-03-01 depends on the other dates in its batch: "
    assert len(found["alone the same"]) == 3
    assert len(found["alone without NaN"]) == 3
    assert found["alone moved"].startswith(f"{begins}2 rows in the batch, 2 alone; columns that differ: x.")
    assert "columns that differ: k." in found["alone renamed"]
    assert "2 rows in the batch, 1 alone" in found["alone fewer"]
    assert "2 rows in the batch, 0 alone" in found["alone none"]


def test_rows_of_a_date_that_was_not_asked_for_are_refused(found: dict[str, Any]) -> None:
    assert found["foreign"].startswith("x.sql: the query returns rows whose date was not requested: 2026-03-02.")


def test_table_gets_the_columns_of_its_newest_rows_in_their_order(found: dict[str, Any]) -> None:
    """Old rows show null where a column is new or has another type; a column that is gone is not shown."""
    assert found["changes"] == [
        [["date date", "a int", "b string"], ["[1, 'x']"]],
        [["date date", "a int", "b double"], ["[1, None]", "[2, 2.5]"]],
        [["date date", "c string"], ["['y']", "[None]", "[None]"]],
        [["c string", "date date"], ["['z']", "[None]", "[None]"]],
    ]


def test_columns_change_in_one_commit_however_many_they_are(found: dict[str, Any]) -> None:
    # One commit each for the four writes, and one each for the three changes of columns.
    assert found["commits"] == [7, 4]


def test_short_number_which_is_stored_as_a_longer_one_is_no_other_column(found: dict[str, Any]) -> None:
    assert found["small"] == [[["date date", "a int"], ["[1]", "[1]"]], 1]


def test_reference_that_becomes_a_source_and_back_replaces_its_table(found: dict[str, Any]) -> None:
    """Its earlier snapshots stay readable."""
    assert found["divided"] == [[["code string"], 1], [["code string", "date date"], 1], [["code string"], 1], "x"]


def test_job_whose_columns_another_one_changes_meanwhile_says_so(found: dict[str, Any]) -> None:
    assert found["overtaken"].startswith("ice.lab.small: another job changed its columns while rows were written.")


def test_compiled_queries_give_the_same_bits(found: dict[str, Any], tmp_path: Path) -> None:
    compiled = ["--conf", "spark.sql.codegen.factoryMode=CODEGEN_ONLY"]
    assert run_job(tmp_path, JOB, [*hadoop_catalog(tmp_path), *compiled]) == found


def test_a_constant_that_cannot_be_computed_is_refused_with_its_file(found: dict[str, Any]) -> None:
    causes = (
        "1 cannot be represented",
        "Duplicate map key a",
        "You may get a different result",
        "Spark fails with IllegalFormat",
    )
    assert [text.partition(": ")[2][: len(cause)] for text, cause in zip(found["constants"], causes, strict=True)] == list(causes)
    assert [text.partition(": ")[0] for text in found["constants"]] == ["x.sql, line 1", "x.sql", "x.sql", "x.sql"]
