"""Tests of the time that the check of a query's text takes, whatever its author writes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from perennial.config.pipeline import Pipeline
from perennial.errors import PerennialError
from perennial.sql import bounded
from perennial.sql.check import check_sql
from perennial.sql.refused_functions import refused_texts

LENGTH = 100_000
ENDLESS = {
    "a moment without an end": "-- 'now" + " " * LENGTH,
    "open comments": "-- " + "date/*" * (LENGTH // 6),
    "comments with one end": "timestamp/*" * (LENGTH // 11) + "*/",
    "comments within a line": "date--" * (LENGTH // 6) + "\n",
    "comments before one literal": "timestamp /*" * (LENGTH // 12) + "*/'" + "1" * LENGTH,
    "blanks before a word": "'" + " " * LENGTH,
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_text_is_read_in_time_that_grows_with_its_length(text: str) -> None:
    begin = time.process_time()
    refused_texts(text)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("SELECT DATE /* a */ -- b\n '20\\u0032'", "a backslash"),
        ("SELECT date r'\\' AS a", "a backslash"),
        ("SELECT timestamp_ntz /*/ * */ 'T1:00'", "without a day"),
        ("SELECT ' NOW  at noon'", "'NOW  at noon'"),
    ],
)
def test_blanks_and_comments_hide_no_literal(text: str, part: str) -> None:
    (problem,) = refused_texts(text)
    assert part in problem


@pytest.mark.parametrize("text", ["SELECT date /* 'a\\b'", "SELECT update 'a\\b'", "SELECT date, 'a\\b'", "SELECT 'nowhere'"])
def test_other_texts_pass(text: str) -> None:
    assert not refused_texts(text)


ALIASES = "SELECT date, 1 AS a0" + "".join(f", a{n} + a{n} AS a{n + 1}" for n in range(40)) + " FROM dates"  # noqa: S608
COLUMNS = "".join(f", c{n} AS (SELECT * FROM c{n - 1} x CROSS JOIN c{n - 1} y)" for n in range(1, 24))  # noqa: S608
LARGE = {
    "nested calls": "SELECT date, " + "timestamp(" * 20 + "'2026-01-01'" + ")" * 20 + " AS t FROM dates",
    "aliases that double": ALIASES,
    "columns that double": f"WITH c0 AS (SELECT * FROM dates){COLUMNS} SELECT date FROM c23",  # noqa: S608
    "joins without a condition": "SELECT d.date FROM dates d" + " JOIN readings" * 18,
}


@pytest.mark.parametrize("query", LARGE.values(), ids=LARGE)
def test_a_query_that_takes_too_long_to_look_into_is_a_doubt(
    pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(bounded, "MAX_SECONDS", 1)
    pipeline = pipeline_factory()
    (pipeline.folder / "analysis" / "faults_by_mode.sql").write_text(query)
    before = os.times()

    found = check_sql(pipeline)

    after = os.times()
    (doubt,) = found.doubts
    assert (found.problems, found.unchecked) == ([], ["analysis/faults_by_mode.sql"])
    assert doubt.startswith("analysis/faults_by_mode.sql: too large to be checked")
    assert after.user + after.children_user - before.user - before.children_user < 4


def test_an_error_of_the_check_itself_is_told() -> None:
    def fail() -> None:
        raise ValueError("of our own")

    with pytest.raises(PerennialError, match="ValueError: of our own"):
        bounded.within_limit(fail)
