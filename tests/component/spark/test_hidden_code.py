# ruff: noqa: S608
"""Parts of a query that its text hides: classes in the texts of schemas, and times in literals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spark_job import run_job

from perennial.spark.conf import iceberg_conf

CANARY = "from pathlib import Path\n\nPath('imported').touch()\n\n\nclass X:\n    pass\n"


def _struct(kind: object, **metadata: str) -> str:
    return json.dumps({"type": "struct", "fields": [{"name": "x", "type": kind, "nullable": True, "metadata": metadata}]})


CLASS = {"type": "udt", "pyClass": "canary.X", "serializedClass": "AA==", "sqlType": "string"}
NESTED = {
    "plain": CLASS,
    "struct": json.loads(_struct(CLASS)),
    "array": {"type": "array", "elementType": CLASS, "containsNull": True},
    "map": {"type": "map", "keyType": "string", "valueType": CLASS, "valueContainsNull": True},
}
NAMES_A_CLASS = [
    *(f"SELECT from_json(CAST(a AS STRING), '{_struct(kind)}') AS b FROM v" for kind in NESTED.values()),
    f"SELECT from_csv(CAST(a AS STRING), '{_struct(CLASS)}') AS b FROM v",
    f"SELECT from_json(CAST(a AS STRING), '{_struct(CLASS)}').x AS b FROM v",
    f"SELECT a FROM v WHERE from_json(CAST(a AS STRING), '{_struct(CLASS)}') IS NULL",
    f"SELECT a FROM v WHERE EXISTS (SELECT from_json('1', '{_struct(CLASS)}') AS b FROM w)",
    "SELECT from_json('1', concat('" + _struct(CLASS).replace("udt", "u', 'dt") + "')) AS b FROM v",
    f"SELECT b FROM v LATERAL VIEW explode(array(from_json('1', '{_struct(CLASS)}'))) t AS b",
]
GIVES_A_DEFAULT = [
    "SELECT from_json('{}', '" + _struct("date", CURRENT_DEFAULT="current_date()", EXISTS_DEFAULT="current_date()") + "').x AS b"
    " FROM v",
    "SELECT from_json('{}', '" + _struct("string", EXISTS_DEFAULT="user()") + "').x AS b FROM v",
]
CANNOT_BE_READ = [
    "SELECT from_json('1', '" + _struct({"type": "udt", "class": "no.such.Class"}) + "') AS b FROM v",
    "SELECT from_json('1', '" + _struct({"type": "udt", "class": "java.lang.Object"}) + "') AS b FROM v",
    "SELECT from_json('1', '" + _struct({"type": "udt"}) + "') AS b FROM v",
    "SELECT from_json('1', '{\"type\": 1}') AS b FROM v",
    "SELECT from_json('1', '" + _struct("nothing") + "') AS b FROM v",
    "SELECT from_json('1', '" + _struct("interval") + "') AS b FROM v",
    "SELECT INTERVAL 1 MONTH + INTERVAL '1' DAY AS b FROM v",
    "SELECT make_interval(1) AS b FROM v",
]
TOO_LARGE = "SELECT a FROM v WHERE a IN (" + "1, " * 210_000 + "1)"
HOLDS_THE_MOMENT = [
    "SELECT DATE 'today+01:00' AS b FROM v",
    "SELECT DATE 'Yesterday [x' AS b FROM v",
    "SELECT TIMESTAMP 'tomorrow+00:00' AS b FROM v",
    "SELECT TIMESTAMP_LTZ 'now\x01' AS b FROM v",
    "SELECT TIMESTAMP_NTZ 'today+01:00' AS b FROM v",
    "SELECT DATE '\x01today' AS b FROM v",
    "SELECT TIMESTAMP 'now\x1f' AS b FROM v",
    "SELECT DATE /* */ 'to\\u0064ay' AS b FROM v",
    "SELECT DATE -- x\n 'to\\u0064ay' AS b FROM v",
    "SELECT TIMESTAMP /* */ 'n\\157w' AS b FROM v",
    "SELECT TIMESTAMP '10:00:00' AS b FROM v",
    "SELECT TIMESTAMP /* */ 'T10:00:00+01:00' AS b FROM v",
    "SELECT * FROM VALUES (DATE /* */ 'to\\u0064ay') AS t(b)",
    "SELECT * FROM VALUES (array(DATE '\x01today')) AS t(b)",
    "SELECT (SELECT max(CAST(NULLIF('tod'||'ay','x') AS DATE)) FROM w) AS b FROM v",
    "SELECT CAST(NULLIF('tod'||'ay','x') AS DATE) AS b FROM v",
    "SELECT a FROM v WHERE CAST('tod'||'ay' AS DATE) BETWEEN DATE '2026-01-01' AND DATE '2026-01-02'",
    "SELECT TIMESTAMP /* /* */ */ '10:00:00 UTC' AS b FROM v",
    "SELECT TIMESTAMP /* /* */ */ 'T10' AS b FROM v",
    "SELECT DATE /* /* */ */ 'to\\u0064ay UTC' AS b FROM v",
    "SELECT 'é𝄞' AS a, TIMESTAMP /* /* */ */ '10:00:00 UTC' AS b FROM v",
    "SELECT * FROM VALUES (TIMESTAMP /* /* */ */ '10:00:00 UTC') AS t(b)",
    "SELECT CAST('10:00' AS TIMESTAMP) AS b FROM v",
    "SELECT try_cast(concat('10', ':00') AS TIMESTAMP) AS b FROM v",
    "SELECT to_timestamp('10:00') AS b FROM v",
    "SELECT hour('T10') AS b FROM v",
    "SELECT a FROM v WHERE TIMESTAMP '2026-03-01' < '10:00'",
    "SELECT a FROM v WHERE a IN (SELECT w.a FROM w WHERE '10:00:00 UTC'::timestamp > TIMESTAMP '2026-03-01')",
    "SELECT array('10:00', TIMESTAMP '2026-03-01')[0] AS b FROM v",
    "SELECT CAST(array('10:00') AS ARRAY<TIMESTAMP>)[0] AS b FROM v",
    "SELECT to_utc_timestamp(nullif('10:00', 'x'), 'UTC') AS b FROM v",
    "SELECT (SELECT max(CAST('tod'||'ay' AS DATE) BETWEEN DATE '2026-01-01' AND DATE '2026-01-02') FROM w) AS b FROM v",
]
IS_CONSTANT = [
    "SELECT CAST('2026-03-01 10:00' AS TIMESTAMP) AS b, to_timestamp('10:00', 'HH:mm') AS c, '10:00' < string(a) AS d FROM v",
    "SELECT CAST(concat(DATE '2026-03-01', ' 10:00') AS TIMESTAMP) AS b, TIMESTAMP /* /* */ */ '2026-03-01' AS c FROM v",
    "SELECT DATE '2026-03-01' AS b, DATE 'epoch' AS c, TIMESTAMP 'epoch' AS d, CAST(NULL AS DATE) AS e FROM v",
    "SELECT TIMESTAMP '2026-03-01' AS b, TIMESTAMP '2026-03-29 02:30:00+01:00' AS c FROM v",
    "SELECT TIMESTAMP '1900-01-01 00:00:00 Europe/Berlin' AS b FROM v",
    "SELECT TIMESTAMP '0001-01-01 00:00:00' AS b, CAST(TIMESTAMP_NTZ '9999-12-31 23:59:59.999999' AS STRING) AS c FROM v",
    "SELECT a FROM v WHERE CAST(a AS STRING) = 'today: sunny' OR CAST(a AS STRING) = 'nowhere'",
    "SELECT NULLIF(sum(a), 0) AS b, NULLIF(a, 1) AS c FROM v GROUP BY NULLIF(a, 1)",
    "SELECT (SELECT max(NULLIF(w.a, 1)) FROM w WHERE w.a = v.a) AS b FROM v WHERE a BETWEEN 1 AND 2",
    "SELECT * FROM VALUES (DATE '2026-03-01', 1), (DATE '2026-03-02', 2) AS t(b, c)",
    "SELECT from_json(CAST(a AS STRING), 'x INT COMMENT \"y\", z ARRAY<DATE>').x AS b FROM v",
    "SELECT from_json(CAST(a AS STRING), '" + _struct("date") + "').x AS b FROM v",
    "SELECT from_csv(CAST(a AS STRING), schema_of_csv('1,x'))._c0 AS b FROM v",
]
JOB = """
import json, sys
from pathlib import Path
from pyspark.sql import SparkSession
from perennial.errors import RefusedError
from perennial.spark.sql import run_query

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
for view in ("v", "w"):
    spark.range(1).selectExpr("id AS a").createOrReplaceTempView(view)
said = {}
for query in json.loads(Path(sys.argv[1]).read_text()):
    try:
        run_query(spark, "x.sql", query, ("v", "w"))
        said[query] = None
    except RefusedError as error:
        said[query] = str(error)
    except Exception as error:
        said[query] = f"ERROR {type(error).__name__} {error}"[:600]
    if Path("imported").exists():
        said[query] = "IMPORTED"
        Path("imported").unlink()
        del sys.modules["canary"]
print("SAID " + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Judge all queries in one Spark, where a module can be imported that leaves a file."""
    folder: Path = tmp_path_factory.mktemp("spark")
    queries = [*NAMES_A_CLASS, *GIVES_A_DEFAULT, *CANNOT_BE_READ, TOO_LARGE, *HOLDS_THE_MOMENT, *IS_CONSTANT]
    (folder / "canary.py").write_text(CANARY)
    (folder / "queries.json").write_text(json.dumps(queries))
    names = ("spark.sql.extensions", "spark.sql.ansi.enabled", "spark.sql.udt.allowCreatingUDTFromString")
    conf = [f"{name}={value}" for name, value in iceberg_conf("thrift://127.0.0.1:9", "s3://x", None).items() if name in names]
    options = [text for setting in conf for text in ("--conf", setting)]
    return dict(run_job(folder, JOB, options, [str(folder / "queries.json")]))


@pytest.mark.parametrize("query", NAMES_A_CLASS)
def test_a_schema_that_names_a_class_is_refused_before_the_class_is_imported(said: dict[str, str | None], query: str) -> None:
    assert "PythonUserDefinedType: it is not among the parts" in str(said[query])


@pytest.mark.parametrize("query", GIVES_A_DEFAULT)
def test_a_schema_with_an_expression_is_refused(said: dict[str, str | None], query: str) -> None:
    assert "DEFAULT: it is not among the parts" in str(said[query])


@pytest.mark.parametrize("query", CANNOT_BE_READ)
def test_a_schema_that_cannot_be_read_is_refused_with_its_file(said: dict[str, str | None], query: str) -> None:
    assert str(said[query]).startswith("x.sql")


def test_a_query_that_is_too_large_is_refused_with_its_file(said: dict[str, str | None]) -> None:
    assert said[TOO_LARGE] == "x.sql: it is too large. Split it into several queries."


@pytest.mark.parametrize("query", HOLDS_THE_MOMENT)
def test_a_literal_that_holds_the_present_moment_is_refused(said: dict[str, str | None], query: str) -> None:
    assert str(said[query]).startswith(("x.sql: it depends on the current time", "x.sql: it contains text that is not allowed"))


@pytest.mark.parametrize("query", IS_CONSTANT)
def test_what_is_constant_is_accepted(said: dict[str, str | None], query: str) -> None:
    assert said[query] is None or "columns that no table can hold" in str(said[query])
