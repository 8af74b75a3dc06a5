"""The recorded types of Spark, against which types without Spark are tested, are those that Spark gives."""

from __future__ import annotations

import json
import os
from itertools import product

import pytest
from spark_job import run_job

from stack.config import REPO

RECORDED = REPO / "tests" / "unit" / "sql" / "spark_types.json"
COLUMNS = ("a", "b", "x", "m", "c", "d", "ts", "f")
"""An int, a bigint, a double, a decimal, a text, a date, a timestamp and a boolean."""

OTHERS = ("a", "x", "c", "d", "ts", "f", "NULL")
OF_ONE = (
    *("CAST({} AS STRING)", "CAST({} AS INT)", "{}::DOUBLE", "try_cast({} AS DATE)", "TIMESTAMP({})", "DATE({})", "STRING({})"),
    *("-{}", "NOT {}", "{} IS NULL", "{} IN ({})", "{} BETWEEN {} AND {}", "ABS({})", "ROUND({})", "ROUND({}, 1)"),
    *("FLOOR({})", "CEIL({})", "SQRT({})", "LN({})", "EXP({})", "SIGN({})", "UPPER({})", "TRIM({})", "LENGTH({})"),
    *("SUBSTRING({}, 1, 2)", "LEFT({}, 1)", "RIGHT({}, 1)", "LPAD({}, 5, '0')", "REPLACE({}, 'a', 'b')", "CONCAT({}, 'x')"),
    *("{} || 'x'", "REGEXP_REPLACE({}, 'a', 'b')", "REGEXP_EXTRACT({}, '(a)')", "{} LIKE 'x'", "{} RLIKE 'x'"),
    *("YEAR({})", "MONTH({})", "DAY({})", "HOUR({})", "MINUTE({})", "SECOND({})", "DAYOFWEEK({})", "WEEKOFYEAR({})"),
    *("EXTRACT(HOUR FROM {})", "EXTRACT(SECOND FROM {})", "EXTRACT(DOW FROM {})", "DATE_FORMAT({}, 'HH')", "LAST_DAY({})"),
    *("DATE_ADD({}, 1)", "DATE_SUB({}, a)", "ADD_MONTHS({}, 1)", "DATEDIFF({}, d)", "MONTHS_BETWEEN({}, d)", "TO_DATE({})"),
    *("DATEADD(DAY, 1, {})", "DATEADD(HOUR, 1, {})", "DATEDIFF(DAY, {}, d)", "TIMESTAMPDIFF(MINUTE, {}, ts)"),
    *("DATE_TRUNC('HOUR', {})", "TRUNC({}, 'MM')", "UNIX_TIMESTAMP({})", "TO_TIMESTAMP({})", "{} + INTERVAL 1 DAY"),
    *("{} - INTERVAL 3 HOURS", "{} + INTERVAL 2 MONTHS", "SUM({})", "AVG({})", "MIN({})", "MAX({})", "COUNT({})"),
    *("COUNT(DISTINCT {})", "ANY_VALUE({})", "FIRST({})", "STDDEV({})", "SUM(DISTINCT {})", "MAX({}) FILTER (WHERE f)"),
    *("MAX_BY({}, d)", "PERCENTILE({}, 0.5)", "COUNT_IF({} IS NULL)", "(SELECT MAX({}) FROM t)", "BOOL_OR({})"),
    *("LAG({}) OVER (PARTITION BY c ORDER BY d)", "SUM({}) OVER (PARTITION BY c)", "FIRST_VALUE({}) OVER (ORDER BY d)"),
)
OF_TWO = (
    *("{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} % {}", "{} DIV {}", "{} = {}", "{} < {}", "{} <=> {}", "{} AND {}"),
    *("CASE WHEN f THEN {} ELSE {} END", "IF(f, {}, {})", "COALESCE({}, {})", "NVL({}, {})", "NULLIF({}, {})"),
    *("GREATEST({}, {})", "LEAST({}, {})", "try_divide({}, {})", "POW({}, {})", "DATEDIFF({}, {})", "CONCAT_WS({}, {})"),
)
OF_NONE = (
    *("COUNT(*)", "ROW_NUMBER() OVER (ORDER BY d)", "RANK() OVER (ORDER BY d)", "NTILE(4) OVER (ORDER BY d)", "1e3", "'x'"),
    *("PERCENT_RANK() OVER (ORDER BY d)", "EXISTS (SELECT 1 FROM t)", "CASE WHEN f THEN 1 END", "MAKE_DATE(2026, 3, 1)"),
)
JOB = """
import json, logging, sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
spark.sql(
    "SELECT 1 AS a, CAST(1 AS BIGINT) AS b, 1D AS x, CAST(1.5 AS DECIMAL(10, 2)) AS m, 'x' AS c, DATE '2026-03-01' AS d, "
    "TIMESTAMP '2026-03-01 00:00:00' AS ts, true AS f"
).createOrReplaceTempView("t")
types = {}
for expression in open(sys.argv[1]).read().splitlines():
    try:
        types[expression] = spark.sql(f"SELECT {expression} AS r FROM t").schema[0].dataType.simpleString()
    except Exception:
        pass  # Spark refuses it: no type to compare
print("SAID " + json.dumps(types))
"""


def expressions() -> list[str]:
    """Return every form over columns of every type."""
    of_one = [form.replace("{}", column) for form, column in product(OF_ONE, COLUMNS)]
    of_two = [form.format(left, right) for form in OF_TWO for left, right in product(COLUMNS, OTHERS)]
    return [*OF_NONE, *of_one, *of_two]


def test_recorded_types_are_what_spark_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("spark")
    (folder / "expressions").write_text("\n".join(expressions()))
    said = dict(run_job(folder, JOB, arguments=[str(folder / "expressions")]))
    if os.environ.get("PERENNIAL_RECORD"):
        RECORDED.write_text(json.dumps(said, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    assert json.loads(RECORDED.read_text(encoding="utf-8")) == said, "PERENNIAL_RECORD=1 records the types again"
