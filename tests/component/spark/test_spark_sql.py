"""Running a pipeline's SQL in Spark: a query sees the views that it is offered, and nothing beside them."""

from __future__ import annotations

import json

import pytest
from spark_job import run_job

from perennial.spark.conf import iceberg_conf
from perennial.spark.limits import Limits
from perennial.sql.refused_functions import refused_texts

LIMITS = Limits("Pipeline 'orders'", dates=1, minutes=60, rows=1_000_000_000, gb=100, disk_gb=100)
READS_WHAT_IT_MAY = [
    "SELECT a FROM v",
    "SELECT a FROM V WHERE a IN (SELECT max(w.a) FROM w)",
    "WITH c AS (SELECT a FROM v), d AS (SELECT a FROM c) SELECT * FROM c JOIN d USING (a)",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r",
    "SELECT v.a, x FROM v LATERAL VIEW explode(array(1, 2)) AS x",
    "SELECT l.b FROM v, LATERAL (SELECT w.a AS b FROM w WHERE w.a = v.a) l",
    "SELECT id FROM range(3) UNION ALL SELECT col1 FROM VALUES (1)",
    "FROM v |> JOIN w USING (a) |> SELECT a",
    "TABLE v",
    "SELECT a FROM v;\n",
    "SELECT a, sum(a) OVER n AS b FROM v WINDOW n AS (PARTITION BY a ORDER BY a)",
    "SELECT unix_timestamp('2026-03-01', 'yyyy-MM-dd') AS a, hash(a) AS b, size(transform(array(a), x -> x + 1)) AS c FROM v",
]
READS_MORE = {
    "SELECT a FROM spark_catalog.default.v": "spark_catalog.default.v",
    "SELECT a FROM default.other": "default.other",
    "SELECT a FROM other": "other",
    "SELECT * FROM text.`/etc/passwd`": "text./etc/passwd",
    "SELECT a FROM v WHERE a IN (SELECT value FROM text.`/etc/passwd`)": "text./etc/passwd",
    "SELECT (SELECT max(value) FROM text.`/etc/passwd`) AS x FROM v": "text./etc/passwd",
    "WITH c AS (SELECT * FROM x.y) SELECT * FROM c": "x.y",
    "SELECT * FROM (WITH c AS (SELECT a FROM v) SELECT a FROM c) JOIN c USING (a)": "c",
    "SELECT l.b FROM v, LATERAL (SELECT value AS b FROM csv.`s3a://x/y`) l": "csv.s3a://x/y",
    "SELECT a FROM v UNION ALL SELECT a FROM x.y": "x.y",
    "FROM v |> JOIN x.y USING (a)": "x.y",
    "FROM v |> SET a = (SELECT max(value) FROM text.`/etc/passwd`)": "text./etc/passwd",
    "SELECT * FROM (FROM v |> SET a = (SELECT count(*) FROM x.y))": "x.y",
    "SELECT a FROM IDENTIFIER('x.y')": "IDENTIFIER(…) as a table",
    "SELECT a FROM v VERSION AS OF 1": "another version of a table (AS OF)",
    "TABLE x.y": "x.y",
    "SELECT a, sum(a) OVER n AS b FROM v WINDOW n AS (PARTITION BY a IN (SELECT a FROM x.y))": "x.y",
    "SELECT a, sum(a) OVER n AS b FROM v WINDOW n AS (PARTITION BY EXISTS (SELECT 1 FROM x.y))": "x.y",
    "SELECT a, sum(a) OVER n AS b FROM v WINDOW n AS (ORDER BY (SELECT max(value) FROM text.`/etc/passwd`))": "text./etc/passwd",
    "WITH other AS (SELECT * FROM other) SELECT * FROM other": "other",
}
CALLS_WHAT_IT_MAY_NOT = {
    "SELECT a + rand() AS a FROM v": "rand",
    "SELECT a FROM v WHERE a < (SELECT max(uuid()) FROM w)": "uuid",
    "SELECT current_timestamp AS a FROM v": "current_timestamp",
    "SELECT CURRENT_DATE() AS a FROM v": "CURRENT_DATE",
    "WITH c AS (SELECT unix_timestamp() AS a FROM v) SELECT a FROM c": "unix_timestamp",
    "SELECT reflect('java.lang.System', 'getenv') AS a FROM v": "reflect",
    "SELECT builtin.java_method('java.lang.System', 'getenv', 'HOME') AS a FROM v": "java_method",
    "SELECT a FROM v ORDER BY try_reflect('java.lang.Math', 'random')": "try_reflect",
    "SELECT TRANSFORM(a) USING 'id' AS (x string) FROM v": "TRANSFORM",
    "FROM (MAP a USING 'id' AS x FROM v) SELECT x": "TRANSFORM",
    "SELECT input_file_name() AS a FROM v": "input_file_name",
    "SELECT current_t\u0131mestamp AS a FROM v": "current_timestamp",
    "SELECT IDENTIFIER('reflect')('java.lang.System', 'getenv') AS a FROM v": "IDENTIFIER",
    "SELECT a FROM v ORDER BY \u0131dentifier('ra' || 'nd')()": "IDENTIFIER",
    "SELECT transform(array(a), x -> IDENTIFIER('rand')()) AS a FROM v": "IDENTIFIER",
    "SELECT IDENTIFIER('current_' || 'date') AS a FROM v": "IDENTIFIER",
    "SELECT a, row_number() OVER n AS b FROM v WINDOW n AS (PARTITION BY a ORDER BY rand())": "rand",
    "SELECT a, sum(a) OVER n AS b FROM v WINDOW n AS (ORDER BY (SELECT max(uuid()) FROM w))": "uuid",
    "SELECT a FROM v TABLESAMPLE (50 PERCENT)": "TABLESAMPLE",
    "SELECT s.a FROM (SELECT a FROM v TABLESAMPLE (5 PERCENT) REPEATABLE (1)) s JOIN w ON s.a = w.a": "TABLESAMPLE",
    "SELECT hex(aes_encrypt('a', '0000111122223333')) AS x FROM v": "aes_encrypt",
    "SELECT user() AS x FROM v": "user",
    "SELECT user AS x FROM v": "current_user",
    "SELECT default.abs(a) AS x FROM v": "default.abs",
    "SELECT spark_catalog.default.f(a) AS x FROM v": "spark_catalog.default.f",
    "SELECT ice.system.bucket(4, a) AS x FROM v": "ice.system.bucket",
    "SELECT x FROM v LATERAL VIEW default.f(a) t AS x": "default.f",
    "SELECT x FROM v LATERAL VIEW OUTER g(a) t AS x": "the function g",
    "SELECT t.x FROM v, LATERAL g(v.a) AS t(x)": "the function g",
    "SELECT f(a) AS x FROM v": "the function f: Spark 4.1 has no such function.",
    "SELECT `\u0131nitcap`('a') AS x FROM v": "no such function. Did you mean 'initcap'?",
    "SELECT xpath_string('<a/>', '/a') AS x FROM v": "xpath_string",
    "SELECT a FROM v LIMIT xpath_int('<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>', 'a')": "xpath_int",
    "FROM v |> SET a = reflect('java.lang.System', 'getenv', 'HOME')": "reflect",
    "FROM v |> SET a = (SELECT max(uuid()) FROM w)": "uuid",
    "FROM v |> EXTEND 1 AS b |> SET b = current_date()": "current_date",
    "SELECT from_xml('<a>1</a>', 'a INT', map('rowValidationXSDPath', '/etc/passwd')) AS x FROM v": "from_xml",
}
HOLDS_WHAT_IT_MAY_NOT = {
    "SELECT ref${spark.submit.pyFiles}lect('java.lang.System', 'getProperty', 'user.name') AS x FROM v": "${…}",
    "SELECT '${env:PATH}' AS x FROM v": "${…}",
    "SELECT DATE 'today' AS x FROM v": "'today'",
    'SELECT CAST("Now " AS TIMESTAMP) AS x FROM v': "'Now'",
    "SELECT to_date('tomorrow Z') AS x FROM v": "'tomorrow Z'",
    "SELECT DATE '\\u0074oday' AS x FROM v": "a backslash",
    'SELECT timestamp_ntz"n\\u006fw" AS x FROM v': "a backslash",
}
ASKS_FOR_THE_MOMENT = [
    "SELECT CAST('to' 'day' AS DATE) AS x FROM v",
    "SELECT CAST('\\u0074oday' AS DATE) AS x FROM v",
    "SELECT timestamp(concat('n', 'ow')) AS x FROM v",
    "SELECT a FROM v WHERE a IN (SELECT w.a FROM w WHERE date('to' || 'morrow') > DATE '2026-03-01')",
    "SELECT CAST(nvl('to' || 'day', 'x') AS DATE) AS x FROM v",
    "WITH c AS (SELECT DATE '2026-03-01' < 'to' || 'day' AS x) SELECT x FROM c",
]
STATEMENTS = [
    "DROP VIEW v",
    "CREATE TABLE x AS SELECT 1",
    "INSERT INTO v SELECT 1",
    "WITH c AS (SELECT 1) INSERT INTO v SELECT * FROM c",
    "FROM v INSERT INTO w SELECT a INSERT INTO w SELECT a + 1",
    "SELECT a FROM v; DROP VIEW v",
    "CALL ice.system.expire_snapshots('x.y')",
    "SET spark.sql.ansi.enabled = false",
    "",
]
YIELDS_WHAT_NO_TABLE_HOLDS = {
    "SELECT a, NULL AS b FROM v": "column 'b' is NULL and has no type: give it one, for example CAST(NULL AS STRING)",
    "SELECT b FROM (SELECT CASE WHEN a > 0 THEN NULL END AS b FROM v)":
        "column 'b' is NULL and has no type: give it one, for example CAST(NULL AS STRING)",
    "SELECT array(a) AS b FROM v": "column 'b' is of type array<bigint>",
    "SELECT timestamp_ntz'2026-03-01 00:00:00' AS b FROM v": "column 'b' is of type timestamp_ntz",
}  # fmt: skip
FAILS = {
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r": "Recursion level limit 100 reached",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r, range(2000000)) SELECT n FROM r": "Recursion row limit",
    "SELECT a:b AS b FROM v": "a path such as `a:b` reads a column that is no variant",
    "SELECT 'x' COLLATE a.b.x AS b FROM v": "The value x does not represent a correct collation name",
    "SELECT id FROM range(0, 10, 1, 0)": "Spark fails with IllegalArgumentException: Positive number of partitions required",
    "SELECT to_xml(named_struct('a', a), map('rowTag', 'x><y')) AS b FROM v":
        "Spark fails with XMLStreamException: Illegal name character '>' (code 62)",
    "SELECT from_csv(string(a), 'x INT', map('sep', '')).x AS b FROM v": "Delimiter cannot be empty",
    "SELECT from_csv(string(a), 'x INT', map('maxColumns', '-5')).x AS b FROM v": "NegativeArraySizeException: -5",
    "SELECT CAST(parse_json(concat('{', a)) AS STRING) AS b FROM v": "Malformed records are detected in record parsing: {0",
    "SELECT format_string('%1q', a) AS b FROM v": "UnknownFormatConversionException: Conversion = 'q'",
    "SELECT string(a) LIKE '\\\\1' AS b FROM v": "The escape character is not allowed to precede '1'",
    "SELECT regexp_count(repeat('ab', 20001), '(a|b)*c') AS b FROM v": "a regular expression is too deep for a text",
    "SELECT regexp_count(repeat('ab', 20001 + int(a)), '(a|b)*c') AS b FROM v": "a regular expression is too deep for a text",
}  # fmt: skip
RESERVED = "is reserved by Iceberg: Spark could not read the table. Choose another name"
HAS_NAMES_THAT_NO_TABLE_HOLDS = {
    "SELECT 1 AS `` FROM v": "a column has no name",
    "SELECT 1 AS y, 2 AS Y FROM v": "column 'y' is listed twice (case does not count)",
    "SELECT a, true AS _Deleted FROM v": f"column '_Deleted' {RESERVED}",
}
JOB = """
import json, sys
from pyspark.sql import SparkSession
from perennial.errors import RefusedError
from perennial.spark.sql import failing_on_rows, run_query

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
for view in ("v", "w", "other"):
    spark.range(1).selectExpr("id AS a").createOrReplaceTempView(view)
said = {}
for query in json.loads(sys.argv[1]):
    try:
        with failing_on_rows("x.sql", query):
            said[query] = [str(run_query(spark, "x.sql", query, ("v", "w")).persist().count())]
    except RefusedError as error:
        said[query] = [str(error), *error.problems]
print("SAID " + json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run all queries in one Spark; return the number of rows, or the refusal and its problems."""
    folder = tmp_path_factory.mktemp("spark")
    queries = json.dumps(
        [
            *READS_WHAT_IT_MAY,
            *READS_MORE,
            *CALLS_WHAT_IT_MAY_NOT,
            *HOLDS_WHAT_IT_MAY_NOT,
            *ASKS_FOR_THE_MOMENT,
            *STATEMENTS,
            *YIELDS_WHAT_NO_TABLE_HOLDS,
            *FAILS,
            *HAS_NAMES_THAT_NO_TABLE_HOLDS,
            "SELECT nothing FROM v",
        ]
    )
    # As in a job: Iceberg brings a parser of its own.
    extensions = iceberg_conf("thrift://127.0.0.1:9", "s3://x", None)["spark.sql.extensions"]
    settings = [f"spark.sql.extensions={extensions}", *(f"{name}={value}" for name, value in LIMITS.to_conf().items())]
    return dict(run_job(folder, JOB, [word for setting in settings for word in ("--conf", setting)], [queries]))


@pytest.mark.parametrize("query", READS_WHAT_IT_MAY)
def test_offered_views_are_read(said: dict[str, list[str]], query: str) -> None:
    assert said[query][0].isdigit()


@pytest.mark.parametrize("query", READS_MORE)
def test_everything_else_is_refused(said: dict[str, list[str]], query: str) -> None:
    text, *problems = said[query]

    assert text.startswith("x.sql: it reads relations that a query must not see")
    assert text.endswith("Read only v, w, by these names.")
    assert problems == [READS_MORE[query]]


@pytest.mark.parametrize("query", ASKS_FOR_THE_MOMENT)
def test_the_present_moment_is_refused_however_it_is_spelt(said: dict[str, list[str]], query: str) -> None:
    assert said[query][0].startswith("x.sql: it depends on the current time")


@pytest.mark.parametrize("query", HOLDS_WHAT_IT_MAY_NOT)
def test_what_spark_would_replace_is_refused(said: dict[str, list[str]], query: str) -> None:
    text, *problems = said[query]

    assert text.startswith("x.sql: it contains text that is not allowed")
    assert [HOLDS_WHAT_IT_MAY_NOT[query] in problem for problem in problems] == [True]
    assert refused_texts(query) == problems


@pytest.mark.parametrize("query", CALLS_WHAT_IT_MAY_NOT)
def test_what_makes_another_result_or_runs_code_is_refused(said: dict[str, list[str]], query: str) -> None:
    text, *problems = said[query]
    assert text.startswith("x.sql: it uses functions or syntax that are not allowed")
    assert len(problems) == 1
    assert CALLS_WHAT_IT_MAY_NOT[query] in problems[0]


@pytest.mark.parametrize("query", FAILS)
def test_a_query_that_fails_on_every_try_is_refused_with_its_file(said: dict[str, list[str]], query: str) -> None:
    assert said[query][0].startswith("x.sql")
    assert FAILS[query] in said[query][0]


@pytest.mark.parametrize("query", HAS_NAMES_THAT_NO_TABLE_HOLDS)
def test_a_column_whose_name_no_table_can_hold_is_refused(said: dict[str, list[str]], query: str) -> None:
    assert said[query] == [
        f"x.sql: no table can hold columns of these names: {HAS_NAMES_THAT_NO_TABLE_HOLDS[query]}. "
        "Name each of them differently (AS …).",
        HAS_NAMES_THAT_NO_TABLE_HOLDS[query],
    ]


@pytest.mark.parametrize("query", STATEMENTS)
def test_statement_is_refused_and_not_run(said: dict[str, list[str]], query: str) -> None:
    assert said[query][0].startswith("x.sql")
    assert "yntax error" in said[query][0]


@pytest.mark.parametrize("query", YIELDS_WHAT_NO_TABLE_HOLDS)
def test_a_column_that_no_table_can_hold_is_refused(said: dict[str, list[str]], query: str) -> None:
    text, *problems = said[query]
    assert text.startswith("x.sql: it returns columns that no table can hold")
    assert problems == [YIELDS_WHAT_NO_TABLE_HOLDS[query]]


def test_unknown_column_is_refused(said: dict[str, list[str]]) -> None:
    assert said["SELECT nothing FROM v"][0].startswith("x.sql, line 1: unknown column nothing. Did you mean a?\n")
