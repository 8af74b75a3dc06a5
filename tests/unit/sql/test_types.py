"""The types of a query's columns without Spark: a wrong one is told with its line, an uncertain one is let pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.config.pipeline import Pipeline
from perennial.sql.check import Findings, check_sql
from perennial.sql.parse import parse_query
from perennial.sql.types import family_of, infer_types

TABLES = {
    "t": {
        **{"id": "bigint", "a": "int", "b": "bigint", "x": "double", "m": "decimal(10,2)"},
        **{"c": "string", "d": "date", "ts": "timestamp", "f": "boolean"},
    },
    "u": {"id": "bigint", "q": "string"},
}
SPARK = json.loads((Path(__file__).parent / "spark_types.json").read_text())
"""By expression over the columns of `t`: the type that Spark 4.1 gives it. tests/component/spark/test_types.py renews it."""


def family(query: str, column: str = "r") -> str | None:
    return family_of(infer_types(parse_query("x.sql", query), TABLES).get(column))


@pytest.mark.exhaustive
def test_no_type_differs_from_that_of_spark() -> None:
    """A false refusal costs more than an error that Spark finds later."""
    differ, known = {}, 0
    for expression, kind in SPARK.items():
        inferred = family(f"SELECT {expression} AS r FROM t")  # noqa: S608
        known += inferred is not None
        if inferred is not None and inferred != family_of(kind):
            differ[expression] = (inferred, kind)
    assert differ == {}
    assert known > len(SPARK) / 2, "it says nothing about most expressions"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("WITH n AS (SELECT c AS r FROM t) SELECT r FROM n", "text"),
        ("SELECT s.r FROM (SELECT a + 1 AS r FROM t) s JOIN u ON u.id = s.r", "whole number"),
        ("SELECT a AS b, b / 2 AS r FROM t", "fraction"),  # Spark reads an alias of the same SELECT
        ("SELECT a AS c, c AS r FROM t", "text"),  # but a column of the table first
        ("SELECT t.*, q AS r FROM t JOIN u USING (id)", "text"),
        ("SELECT (SELECT MAX(u.q) FROM u WHERE u.id = t.id) AS r FROM t", "text"),
        ("SELECT h.anything AS r FROM hidden h JOIN t ON t.id = h.id", None),
        ("SELECT mask(a) AS r FROM t", None),
        ("SELECT COALESCE(mask(a), 1) AS r FROM t", None),
        ("SELECT a AS r FROM t UNION ALL SELECT c FROM t", None),
        ("WITH n AS (SELECT a AS r FROM t UNION ALL SELECT c FROM t) SELECT r FROM n", None),  # Spark makes it a number
        ("WITH n AS (SELECT a AS r FROM t UNION ALL SELECT b FROM t) SELECT r FROM n", "whole number"),
        ("SELECT one AS r FROM (SELECT a, b FROM t) PIVOT (SUM(b) FOR a IN (1 AS one, 2 AS two))", None),
        ("SELECT IF(f, c, a) AS r FROM t", None),
        ("SELECT d - d AS r FROM t", None),
        ("SELECT d + INTERVAL 2 HOURS AS r FROM t", None),
        ("SELECT struct(a) AS r FROM t", None),
        ("SELECT r FROM t LATERAL VIEW explode(mask(a)) e AS r", None),
        ("SELECT no_such_column AS r FROM t", None),
    ],
)
def test_types_are_followed_through_a_query_as_long_as_they_are_certain(query: str, expected: str | None) -> None:
    assert family(query) == expected


Check = Callable[..., list[str]]


@pytest.fixture
def check(pipeline_factory: Callable[..., Pipeline]) -> Check:
    """Return a function that gives machine_faults another YAML and other SQL files and returns the problems."""

    def run(
        files: dict[str, str], edit: Callable[[dict[str, Any]], None] = lambda document: None, name: str = "machine_faults"
    ) -> list[str]:
        folder = pipeline_factory(name=name).folder
        for path in files:  # a lookup needs its file before the YAML is read
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).touch()
        pipeline = pipeline_factory(edit, name)
        for path, text in files.items():
            (folder / path).write_text(text)
        found = check_sql(pipeline)
        assert found.doubts == []
        return found.problems

    return run


FEATURES = (
    "SELECT r.date, r.reading_id,\n{temperature} AS temperature, r.pressure, r.machine,\n{mode} AS mode, {fault} AS fault\n"
    "FROM dates d JOIN readings r ON r.date = d.date"
)


AS_DOUBLE, AS_STRING = "Write CAST(… AS DOUBLE)", "Write CAST(… AS STRING)"
TIME = "time, which is whole minutes since midnight in SQL"


def features(temperature: str = "r.temperature", mode: str = "r.mode", fault: str = "r.has_fault") -> dict[str, str]:
    return {"features.sql": FEATURES.format(temperature=temperature, mode=mode, fault=fault)}


def request(**fields: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["inputs"].update(request={**document["inputs"]["request"], **fields}, derived={})


@pytest.mark.parametrize(
    ("field", "column", "found", "expected"),
    [
        ("number", "r.machine", "string", f"number. {AS_DOUBLE}"),
        ("number", "r.has_fault", "boolean", "number. Write CAST(… AS INT), or declare it as boolean"),
        ("number", "r.measured_at", "timestamp", "number"),
        ("category", "r.pressure", "double", f"category, which is a text. {AS_STRING}"),
        ("category", "r.has_fault", "boolean", f"category, which is a text. {AS_STRING}, or declare it as boolean"),
        ("time", "r.measured_at", "timestamp", f"{TIME}. Write HOUR(…) * 60 + MINUTE(…)"),
        (
            "time",
            "date_format(r.measured_at, 'HH:mm')",
            "string",
            f"{TIME}. Declare the column of the drop as time, which reads HH:MM as minutes",
        ),
        ("date", "r.measured_at", "timestamp", "date. Write CAST(… AS DATE)"),
        ("boolean", "r.reading_id", "bigint", "boolean. Write … = 1"),
    ],
)
def test_a_request_field_of_another_type_is_told_with_its_line(
    check: Check, field: str, column: str, found: str, expected: str
) -> None:
    assert check(features(temperature=column), request(temperature=field)) == [
        f"features.sql, line 2: column 'temperature' is of type {found}, but request field 'temperature' is a {expected}"
    ]


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("number", "r.reading_id"),
        ("number", "CAST(r.pressure AS DECIMAL(10, 2))"),
        ("category", "r.reading_id"),  # the job casts a whole number: '7'
        ("category", "r.machine"),
        ("time", "HOUR(r.measured_at) * 60 + MINUTE(r.measured_at)"),
        ("date", "CAST(r.measured_at AS DATE)"),
        ("boolean", "r.pressure > 1"),
        ("time", "mask(r.measured_at)"),  # Spark decides
    ],
)
def test_a_request_field_of_its_type_passes(check: Check, field: str, column: str) -> None:
    assert check(features(temperature=column), request(temperature=field)) == []


@pytest.mark.parametrize(
    ("positive", "column", "expected"),
    [
        ("yes", "r.has_fault", "boolean, but label.positive is 'yes', a text. Set label.positive to true or false"),
        (1, "r.has_fault", "boolean, but label.positive is 1, a whole number. Set label.positive to true or false"),
        (True, "r.mode", "string, but label.positive is true, a boolean. Set label.positive to a text of the column"),
        ("boost", "r.reading_id", "bigint, but label.positive is 'boost', a text. Set label.positive to a number"),
        (True, "r.has_fault", None),
        ("boost", "r.mode", None),
        (1, "CAST(r.has_fault AS INT)", None),
        (1, "mask(r.mode)", None),
    ],
)
def test_the_positive_value_is_of_the_labels_type(check: Check, positive: Any, column: str, expected: str | None) -> None:
    found = check(features(fault=column), lambda document: document["label"].update(positive=positive))
    assert found == ([f"features.sql, line 3: column 'fault' is of type {expected}"] if expected else [])


def test_all_problems_of_all_files_come_in_one_answer(check: Check) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["inputs"]["lookups"] = {"rates": {"key": ["mode"], "values": ["rate", "last"]}}

    found = check(
        {
            **features(temperature="r.machine"),
            "sources/readings.sql": "SELECT CAST(date AS STRING) AS date, reading_id, machine, measured_at,\n"
            "temperature, pressure, mode, mode = 'boost' AS has_fault FROM drop",
            "lookups/rates.sql": "SELECT CAST(d.as_of AS TIMESTAMP) AS as_of,\nr.temperature AS mode,\nr.machine AS rate,\n"
            "r.has_fault AS last FROM dates d CROSS JOIN readings r",
            "analysis/faults_by_mode.sql": "SELECT CAST(d.date AS STRING) AS date FROM dates d",
        },
        edit,
    )
    assert found == [
        "sources/readings.sql, line 1: column 'date' is of type string, but it must be a date. Write CAST(… AS DATE)",
        "features.sql, line 1: column 'date' is of type string, but it must be a date. Write CAST(… AS DATE)",
        "features.sql, line 2: column 'temperature' is of type string, but request field 'temperature' is a number. "
        "Write CAST(… AS DOUBLE)",
        "lookups/rates.sql, line 1: column 'as_of' is of type timestamp, but it must be a date. Write CAST(… AS DATE)",
        "lookups/rates.sql, line 2: column 'mode' is of type double, but the key of lookup 'rates' is a text. "
        "Write CAST(… AS STRING)",
        "lookups/rates.sql, line 3: column 'rate' is of type string, but a value of lookup 'rates' is a number. "
        "Write CAST(… AS DOUBLE)",
        "lookups/rates.sql, line 4: column 'last' is of type boolean, but a value of lookup 'rates' is a number. "
        "Write CAST(… AS INT)",
        "analysis/faults_by_mode.sql, line 1: column 'date' is of type string, but it must be a date. Write CAST(… AS DATE)",
    ]


def test_labels_repeat_the_types_of_the_row_key(check: Check) -> None:
    labels = (
        "SELECT o.date, CAST(o.order_id AS STRING) AS order_id, COUNT(*) AS is_returned\n"
        "FROM dates d JOIN orders o ON o.date = d.date GROUP BY ALL"
    )
    assert check({"labels.sql": labels}, name="returned_orders") == [
        "labels.sql, line 1: column 'is_returned' is of type bigint, but label.positive is true, a boolean. "
        "Compare it, such as … > 0, or set label.positive to a number",
        "labels.sql, line 1: column 'order_id' is of type string, but it is of type bigint in features.sql",
    ]


def test_the_recipes_of_the_tutorial_have_their_types(documented: Callable[[str, str], list[str]]) -> None:
    views = {
        "dates": {"date": "date", "as_of": "date"},
        "orders": {"date": "date", "order_id": "bigint", "amount": "double", "country": "string", "is_returned": "boolean"},
    }
    made, lookup = (infer_types(parse_query("x.sql", text), views) for text in documented("docs/tutorial.md", "sql"))
    assert made == views["orders"]
    assert lookup == {"as_of": "date", "country": "string", "return_rate": "double"}


def test_the_page_of_types_has_recipes_that_pass(
    pipeline_factory: Callable[..., Pipeline], documented: Callable[[str, str], list[str]]
) -> None:
    pipeline = pipeline_factory(request(started="time", day="date", warm="boolean", size="category"))
    (pipeline.folder / "features.sql").write_text(documented("docs/reference/sql-types.md", "sql")[0])
    assert check_sql(pipeline) == Findings([], [])
