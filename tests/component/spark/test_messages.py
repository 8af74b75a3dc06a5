"""The recorded messages of Spark, on which the sentences of errors are tested, are those that Spark gives."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from spark_job import run_job

from stack.config import REPO

RECORDED = REPO / "tests" / "unit" / "spark" / "spark_messages.json"
LONG = ", ".join(f"a AS a{n}" for n in range(20))
QUERIES = {
    "division by zero": "SELECT a,\n  1 / (a - a) AS r\nFROM v",
    "a piece of a long line": f"SELECT {LONG}, 1 / (a - a) AS r, c AS d, x AS y FROM v WHERE a > 0",  # noqa: S608
    "a piece of several lines": "SELECT a,\n  1 /\n  (a - a) AS r FROM v",
    "a text that is no number": "-- é 😀\nSELECT a, CAST(concat(c, 'x') AS INT) AS r\nFROM v",
    "a missing comma": "SELECT\n  a\n  c AS d,\n  x\nFROM v",
    "a missing comma before an alias": "SELECT v.a v.c FROM v",
    "a missing parenthesis": "SELECT a FROM v WHERE (a > 1",
    "an unknown column": "SELECT a,\n  aa + 1 AS r FROM v",
    "an unknown column of a table": "SELECT v.a,\n v.zz FROM v",
    "an unknown function": "SELECT a,\n nofunc(a) FROM v",
    "an ambiguous column": "SELECT a FROM v JOIN v w ON v.a = w.a",
    "types that do not fit": "SELECT a + true AS r\n FROM v",
    "a wrong number of arguments": "SELECT a,\n upper(a, 1) AS r FROM v",
    "a missing GROUP BY": "SELECT a,\n sum(x) AS r FROM v",
    "a number too large for its cast": "SELECT a,\n CAST(a + 300 AS TINYINT) AS r FROM v",
    "a number too large for its type": "SELECT 9223372036854775807 * (a + 1) AS r FROM v",
    "a subquery of several rows": "SELECT (SELECT a FROM v) AS r",
    "an index out of bounds": "SELECT array(1)[a] AS r FROM v",
}
JOB = """
import json, re, sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
# One partition: the first row that fails is always the same.
rows = spark.range(1, 3, 1, 1).selectExpr("id AS a", "CAST(id - 1 AS STRING) AS c", "CAST(id AS DOUBLE) AS x")
rows.createOrReplaceTempView("v")
messages = {}
for name, query in json.loads(sys.argv[1]).items():
    try:
        spark.sql(query).select("*").write.format("noop").mode("overwrite").save()
    except Exception as error:
        # Names of Java objects, and the plan and the stack trace below the message, hold numbers that differ from run to run.
        message = str(error).partition("\\n\\tat ")[0].partition(";\\n")[0]
        messages[name] = re.sub("(?<=calling o)[0-9]+", "1", message)
print("SAID " + json.dumps(messages))
"""


@pytest.mark.parametrize("name", QUERIES)
def test_a_recorded_message_is_what_spark_says(said: dict[str, str], name: str) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert recorded.get(name) == [QUERIES[name], said[name]], "PERENNIAL_RECORD=1 records the messages again"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    messages = dict(run_job(tmp_path_factory.mktemp("spark"), JOB, arguments=[json.dumps(QUERIES)]))
    if os.environ.get("PERENNIAL_RECORD"):
        recorded = {name: [query, messages[name]] for name, query in QUERIES.items()}
        Path(RECORDED).write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return messages
