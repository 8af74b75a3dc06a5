"""The closed world of a pipeline's SQL, asked of Spark itself: its whole registry, its own examples, and thousands of attacks."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hidden_queries import EXPRESSIONS, PLACES, RELATIONS, TABLE_PLACES, hidden
from spark_job import run_job

from perennial.spark.conf import iceberg_conf
from perennial.sql.allowed_functions import ALLOWED
from perennial.sql.finding import Doubt
from perennial.sql.functions import function_problems
from perennial.sql.parse import parse_query
from perennial.sql.refused_functions import REFUSED
from perennial.sql.unparsed import problems_of_tokens

ANALYST_QUERIES = Path(__file__).with_name("analyst_queries.sql")
DRAWS = 2_400
PROGRAM = """
import json, sys, time
from pathlib import Path
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from perennial.errors import RefusedError
from perennial.spark.java import jvm
from perennial.spark.sql import plan_query

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
views = {
    "dates": "SELECT DATE '2026-01-01' AS date, DATE '2026-01-02' AS as_of",
    "events": "SELECT DATE '2026-01-01' AS date, 1L AS id, 'a' AS customer, 1.00BD AS amount, 1D AS price, true AS ok,"
        " TIMESTAMP '2026-01-01 00:00:00' AS ts, '{}' AS payload, array('x') AS tags, map('a', 'b') AS props,"
        " named_struct('sku', 's', 'qty', 1) AS item",
    "customers": "SELECT 'a' AS customer, 'DE' AS country, DATE '2020-01-01' AS since",
    "people": "SELECT 'u' AS user, 'DE' AS country",
}
for name, query in views.items():
    spark.sql(query).createOrReplaceTempView(name)
spark.sql("SELECT 1L AS id").createOrReplaceTempView("foreign")


def judge(query):
    try:
        plan_query(spark, "x.sql", query, views)
    except RefusedError as error:
        return str(error)
    except Exception as error:
        return f"ERROR {type(error).__name__} {error}"[:300]
    return None


def plain(query):
    try:
        return spark.sql(query) is not None
    except PySparkException:
        return False


def examples(text):
    query = None
    for line in text.splitlines():
        word = line.strip()
        query = word[2:] if word.startswith("> ") else None if query is None else f"{query} {word}"
        if query and query.endswith(";"):
            if not query.startswith("SET "):
                yield query[:-1]
            query = None


work = json.loads(Path(sys.argv[1]).read_text())
registry, documented = {}, []
analysis = jvm(spark).org.apache.spark.sql.catalyst.analysis
for functions in (analysis.FunctionRegistry.builtin(), analysis.TableFunctionRegistry.builtin()):
    names = functions.listFunction()
    for index in range(names.size()):
        name = names.apply(index).funcName()
        registry[name] = list(examples(functions.lookupFunction(names.apply(index)).get().getExamples()))
for name in work["allowed"]:
    documented += [(query, plain(query)) for query in registry.get(name, ())]
said = {
    "registry": sorted(registry),
    "documented": [(query, judge(query)) for query, runs in documented if runs],
    "skipped": [query for query, runs in documented if not runs],
    "written": [(query, judge(query)) for query in work["written"]],
    "harmless": [(query, judge(query)) for query in work["harmless"]],
    "hidden": [(query, judge(query)) for query in work["hidden"]],
    "long": judge(work["long"]),
    "deep": {name: judge(query) for name, query in work["deep"].items()},
}
print("SAID " + json.dumps(said))
"""
ON_PURPOSE = [
    "SELECT convert_timezone('Europe/Brussels', timestamp_ntz'2021-12-05 15:00:00')",  # from the zone of the session
    "SELECT unix_timestamp()",
]
"""Examples whose result depends on the time or the place of the run."""

DEEP = {
    "parentheses": "SELECT " + "(" * 3_000 + "1" + ")" * 3_000 + " AS a FROM events",
    "calls": "SELECT " + "abs(" * 3_000 + "1" + ")" * 3_000 + " AS a FROM events",
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 1_500 + "events" + ")" * 1_500,
    "minus": "SELECT " + "- " * 5_000 + "1 AS a FROM events",
}
LONG = "SELECT id FROM events WHERE id = 0" + " OR id = 1" * 5_000


def drawn() -> Iterator[str]:
    """Yield queries that hide what is refused, each at places of the grammar that are drawn."""
    chance = random.Random(20)
    for _ in range(DRAWS):
        yield hidden(chance)


def without_spark(query: str) -> list[str]:
    """Return the functions and paths for which `validate` refuses a query."""
    found = [text for _, text in problems_of_tokens(query)]
    try:
        tree = parse_query("x.sql", query)
    except Doubt:
        return found
    return [*found, *(text for _, text in function_problems(tree, {"people": ["user", "country"]}))]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Judge all queries in one Spark."""
    folder = tmp_path_factory.mktemp("spark")
    written = [query.strip() for query in ANALYST_QUERIES.read_text(encoding="utf-8").split(";\n")]
    harmless = [*(place.format("e.id") for place in PLACES), *(place.format("events") for place in TABLE_PLACES)]
    work = {
        "allowed": sorted(ALLOWED),
        "written": written,
        "harmless": harmless,
        "hidden": list(drawn()),
        "deep": DEEP,
        "long": LONG,
    }
    (folder / "work.json").write_text(json.dumps(work))
    extensions = iceberg_conf("thrift://127.0.0.1:9", "s3://x", None)["spark.sql.extensions"]
    return dict(run_job(folder, PROGRAM, ["--conf", f"spark.sql.extensions={extensions}"], [str(folder / "work.json")]))


def test_each_function_of_spark_is_allowed_or_refused_for_a_reason(said: dict[str, Any]) -> None:
    registry = set(said["registry"])
    assert len(registry) > 500
    assert registry - ALLOWED - set(REFUSED) == set()
    assert ALLOWED - registry == set()
    assert ALLOWED & set(REFUSED) == set()


def test_each_documented_example_of_an_allowed_function_is_accepted(said: dict[str, Any]) -> None:
    assert len(said["documented"]) > 900
    refused = [query for query, answer in said["documented"] if answer is not None]
    assert refused == ON_PURPOSE
    assert all("TIME" in query.upper() for query in said["skipped"]), "Spark refuses its own examples"


def test_what_analysts_write_is_accepted(said: dict[str, Any]) -> None:
    assert len(said["written"]) >= 100
    assert [(query, answer) for query, answer in said["written"] if answer is not None] == []


def test_validate_refuses_none_of_the_accepted_queries(said: dict[str, Any]) -> None:
    accepted = [query for query, answer in (*said["documented"], *said["written"], *said["harmless"]) if answer is None]
    assert [(query, problems) for query in accepted if (problems := without_spark(query))] == []


def test_each_place_of_the_grammar_accepts_what_is_harmless(said: dict[str, Any]) -> None:
    """Without this, an attack at the place could be refused for its syntax alone."""
    assert [(query, answer) for query, answer in said["harmless"] if answer is not None] == []


def test_no_hidden_table_or_call_gets_through(said: dict[str, Any]) -> None:
    assert len({query for query, _ in said["hidden"]}) >= 2_000
    assert [query for query, answer in said["hidden"] if answer is None] == []
    by_us = [answer for _, answer in said["hidden"] if "not allowed" in answer or "must not see" in answer]
    assert len(by_us) > 0.97 * len(said["hidden"]), "Spark itself refuses too many of them: nothing is tested there"


@pytest.mark.parametrize("name", DEEP)
def test_a_query_that_is_nested_too_deep_is_refused_with_its_file(said: dict[str, Any], name: str) -> None:
    assert said["deep"][name] == "x.sql: it is nested too deep for Spark. Split it into parts of a WITH."


def test_a_long_query_is_not_too_deep(said: dict[str, Any]) -> None:
    assert said["long"] is None


def test_the_lists_of_places_are_whole() -> None:
    assert len(PLACES) > 50
    assert len(TABLE_PLACES) > 20
    assert len(EXPRESSIONS) > 25
    assert len(RELATIONS) > 10
