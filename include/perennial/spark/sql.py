"""Runs a pipeline's SQL. Only queries are allowed, and errors name the file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-not-found, import-untyped, unused-ignore]
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.config.values import ICEBERG_COLUMNS, RESERVED_BY_ICEBERG
from perennial.errors import RefusedError
from perennial.spark.budget import within_budget
from perennial.spark.closed_world import foreign_relations, refused_parts, unknown_parts
from perennial.spark.java import jvm
from perennial.spark.moments import depends_on_time, may_hold_times, moving_literals
from perennial.spark.plan_nodes import read_nodes, read_parsed
from perennial.spark.query_failures import find_query_failure
from perennial.spark.sql_errors import explain
from perennial.sql.refused_functions import refused_texts, untyped_null

MOMENT = "a text such as 'now', or a time without a day, perhaps composed of several texts, is converted to a date or a timestamp"
LITERAL = "a DATE or TIMESTAMP literal does not hold the whole time itself"
NUMBERS = (T.NumericType,)
WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
PLAIN = (*WHOLE, T.DoubleType, T.FloatType, T.DecimalType, T.StringType, T.DateType, T.TimestampType, T.BooleanType)
"""The types whose values have a digest."""

FIELD_TYPES: Mapping[str, tuple[T.DataType, tuple[type[T.DataType], ...]]] = {
    "number": (T.DoubleType(), NUMBERS),
    "category": (T.StringType(), WHOLE),
    "time": (T.IntegerType(), WHOLE),
    "date": (T.DateType(), ()),
    "boolean": (T.BooleanType(), ()),
}
"""The type of the column of a request field, and the types that are cast to it."""

_ROWS_ALONE = "A result must depend only on the rows it reads."
_TOO_DEEP = "java.lang.StackOverflowError"
_TOO_LARGE = "java.lang.IllegalStateException: more than "
_TOO_MANY_PARTS = "Max iterations ("
_PATTERN = "java.util.regex.Pattern"
_PLAIN_PATTERN = "Java repeats a group by recursion: write [ab]* for (a|b)*, or shorten the text."


def use_time_zone(spark: SparkSession, name: str) -> None:
    """
    Set the time zone in which this job's SQL reads and shows timestamps: HOUR(ts), CAST(ts AS DATE), ts < DATE '…'.

    Stored timestamps are moments and dates are plain days, so digests do not depend on it.
    """
    spark.conf.set("spark.sql.session.timeZone", name)


def run_query(spark: SparkSession, file: str, text: str, views: Collection[str]) -> DataFrame:
    """Return the result of one of the pipeline's SQL files; refuse anything but a single query over `views`."""
    rows = plan_query(spark, file, text, views)
    _refuse_names(file, _odd_names(rows.columns))
    if odd := [_describe_odd_type(field) for field in rows.schema if not isinstance(field.dataType, PLAIN)]:
        raise RefusedError(
            f"{file}: it returns columns that no table can hold", odd, "Select texts, numbers, dates, timestamps or booleans."
        )
    return rows


def plan_query(spark: SparkSession, file: str, text: str, views: Collection[str]) -> DataFrame:
    """Return the planned rows of a query, which may be of any type; refuse a query that reads or does more than it may."""
    if texts := refused_texts(text):
        raise RefusedError(f"{file}: it contains text that is not allowed", texts, _ROWS_ALONE)
    with within_budget(spark, file), failing_on_rows(file, text), _explaining(file, text):
        # The text is read once, by Spark's own parser, as a query: INSERT, DROP and the like are statements.
        # The session's parser is Iceberg's, whose parseQuery accepts statements too.
        query = without_last_semicolon(text)
        plan = jvm(spark).org.apache.spark.sql.execution.SparkSqlParser().parseQuery(query)
        parsed = read_nodes(spark, plan)
        if foreign := foreign_relations(parsed, views):
            raise RefusedError(
                f"{file}: it reads relations that a query must not see",
                foreign,
                f"Read only {', '.join(sorted(views))}, by these names.",
            )
        _refuse_parts(file, refused_parts(parsed))
        if may_hold_times(parsed) and moving_literals(read_parsed(spark, query)):
            raise RefusedError(f"{file}: it depends on the current time", [LITERAL], "Take dates from the view dates.")
        # Resolve exactly this plan. A projection keeps the views that are resolved now:
        # otherwise Spark resolves the plan again at the time of the write, with the views of that time.
        planned = jvm(spark).org.apache.spark.sql.classic.Dataset.ofRows(spark._jsparkSession, plan)
        rows = DataFrame(planned, spark).select("*")
        resolved = rows._jdf.queryExecution().analyzed()
        _refuse_parts(file, unknown_parts(read_nodes(spark, resolved), views))
        is_moving = depends_on_time(spark, resolved)
    if is_moving:
        raise RefusedError(f"{file}: it depends on the current time", [MOMENT], "Take dates from the view dates.")
    return rows


def _refuse_parts(file: str, parts: list[str]) -> None:
    if parts:
        raise RefusedError(f"{file}: it uses functions or syntax that are not allowed", parts, _ROWS_ALONE)


@contextmanager
def _explaining(file: str, text: str) -> Iterator[None]:
    """Refuse a text that Spark cannot parse or resolve, with Spark's reason."""
    try:
        yield
    except AnalysisException as error:  # a text that is no query, too
        raise explain(file, text, str(error)) from None


def _odd_names(names: Sequence[str]) -> list[str]:
    lower = [name.lower() for name in names]
    problems = [f"column {name!r} is listed twice (case does not count)" for name in set(lower) if lower.count(name) > 1]
    return sorted([*problems, *_reserved(names), *("a column has no name" for name in names if not name)])


def _describe_odd_type(field: T.StructField) -> str:
    if isinstance(field.dataType, T.NullType):
        return untyped_null(field.name)
    return f"column {field.name!r} is of type {field.dataType.simpleString()}"


@contextmanager
def failing_on_rows(file: str, sql: str) -> Iterator[None]:
    """
    Refuse a query that fails, on its constants or on the rows it reads.

    :param sql: the text of the file, in which Spark's error names a place
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        if _TOO_LARGE in str(error) or _TOO_MANY_PARTS in str(error):
            raise RefusedError(f"{file}: it is too large", remedy="Split it into several queries.") from None
        if _TOO_DEEP in str(error):
            if _PATTERN in str(error):
                raise RefusedError(f"{file}: a regular expression is too deep for a text", remedy=_PLAIN_PATTERN) from None
            raise RefusedError(f"{file}: it is nested too deep for Spark", remedy="Split it into parts of a WITH.") from None
        # PySpark keeps the stack trace of an error for which it has a class apart from its text.
        if (message := find_query_failure(getattr(error, "_stackTrace", None) or str(error))) is None:
            raise
        raise explain(file, sql, message) from None


def without_last_semicolon(text: str) -> str:
    """Return a query without the semicolons at its end."""
    return text.rstrip("; \t\n")


def require_columns(
    rows: DataFrame, file: str, expected: Mapping[str, T.DataType], accepts: Mapping[str, Sequence[type[T.DataType]]]
) -> DataFrame:
    """
    Return the result with exactly the expected columns, in order and with their types, or refuse the file.

    :param expected: type that each column gets
    :param accepts: for some columns, other types that are cast safely (a decimal where a double is expected)
    """
    found = {field.name: field.dataType for field in rows.schema}
    problems = [f"column {name!r} is missing" for name in expected if name not in found]
    problems += [
        f"column {name!r} is not one that pipeline.yaml declares for this file" for name in found if name not in expected
    ]
    problems += [f"column {name!r} is listed twice" for name in found if rows.columns.count(name) > 1]
    for name, kind in expected.items():
        if name in found and found[name] != kind and not isinstance(found[name], tuple(accepts.get(name, ()))):
            problems.append(f"column {name!r}: expected {kind.simpleString()}, found {found[name].simpleString()}")
    if problems:
        raise RefusedError(file, problems, f"Change {file} or pipeline.yaml (docs/reference/sql-types.md).")
    cast = {name: kind.simpleString() for name, kind in expected.items() if kind != found[name]}
    return rows.selectExpr(
        *[f"CAST({quoted(name)} AS {cast[name]}) AS {quoted(name)}" if name in cast else quoted(name) for name in expected]
    )


def refuse_reserved(rows: DataFrame, file: str) -> None:
    """Refuse a result with a column that Iceberg reserves: no later job could read its table."""
    _refuse_names(file, _reserved(rows.columns))


def _reserved(names: Iterable[str]) -> list[str]:
    return [f"column {name!r} {RESERVED_BY_ICEBERG}" for name in names if name.lower() in ICEBERG_COLUMNS]


def _refuse_names(file: str, problems: list[str]) -> None:
    if problems:
        raise RefusedError(f"{file}: no table can hold columns of these names", problems, "Name each of them differently (AS …).")


def quoted(name: str) -> str:
    """Return a column's name quoted for SQL, so that it may contain any characters."""
    return "`" + name.replace("`", "``") + "`"


def text_literal(text: str) -> str:
    """Return a text as a SQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def date_literal(day: date) -> str:
    """Return a date as a SQL literal."""
    return f"DATE '{day.isoformat()}'"


def without_plan(error: AnalysisException) -> str:
    """Return Spark's message without the query plan below it."""
    return " ".join(str(error).partition("\n'")[0].split())[:1000]


def local_rows(spark: SparkSession, rows: Sequence[tuple[Any, ...]], schema: T.StructType) -> DataFrame:
    """
    Return a few rows as a table that Spark's planner knows entirely.

    createDataFrame would start Python workers to read the rows, and would hide their small number from the planner.
    """
    width = ", ".join("?" for _ in schema)
    names = ", ".join(field.name for field in schema)
    values = [value for row in rows for value in row]
    # The values are bound as parameters; the names are our own.
    text = f"SELECT * FROM VALUES {', '.join(f'({width})' for _ in rows)} AS local({names})"  # noqa: S608
    table = spark.sql(text, args=values)
    return table.select(*[F.col(field.name).cast(field.dataType).alias(field.name) for field in schema])


def rows_from(spark: SparkSession, rows: Sequence[Mapping[str, Any]], columns: str) -> DataFrame:
    """
    Return some thousand rows as a table: Spark's parser would take long for as many values.

    :param columns: names and types, as in SQL
    """
    return spark.sql(f"SELECT inline(from_json(?, 'array<struct<{columns}>>'))", args=[json.dumps(rows)])
