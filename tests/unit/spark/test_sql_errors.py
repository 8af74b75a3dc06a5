"""Spark's error about a query in one sentence, for messages that Spark 4.1 really gives (spark_messages.json)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perennial.errors import RefusedError
from perennial.spark.sql_errors import explain

MESSAGES = json.loads((Path(__file__).parent / "spark_messages.json").read_text(encoding="utf-8"))
"""By name: the query and Spark's whole message. tests/component/spark/test_messages.py renews it."""

EXPECTED = dict(
    section.rstrip("\n").split("\n", 1)
    for section in (Path(__file__).parent / "sql_errors.txt").read_text(encoding="utf-8").removeprefix("# ").split("\n# ")
)
"""By name: the error as a user sees it."""


def test_every_recorded_message_is_expected() -> None:
    assert set(EXPECTED) == set(MESSAGES)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_cause_comes_first_with_line_and_piece(name: str) -> None:
    query, message = MESSAGES[name]
    refusal = explain("x.sql", query, message)
    assert isinstance(refusal, RefusedError)
    assert str(refusal) == EXPECTED[name]
    first = str(refusal).partition("\n")[0]
    assert "SQLSTATE" not in first
    assert "org.apache" not in str(refusal)


def test_a_piece_of_another_text_has_no_place_in_the_file() -> None:
    """Perennial casts a column to its stored type with a query of its own."""
    message = MESSAGES["division by zero"][1]
    assert str(explain("x.sql", "SELECT a\nFROM v", message)).startswith("x.sql: division by zero. Define the result")


def test_a_long_line_is_cut_around_the_place() -> None:
    _, message = MESSAGES["an unknown column"]
    line = "x + " * 300 + "aa"
    moved = message.replace("; line 2 pos 2", f"; line 1 pos {line.index('aa')}")
    shown = str(explain("x.sql", line, moved)).splitlines()
    assert len(shown[1]) < 200
    assert shown[1][shown[2].index("^")] == "a"


def test_a_tab_before_the_place_stays_a_tab() -> None:
    query, message = MESSAGES["division by zero"]
    query, message = (text.replace("  1 / (a - a)", "\t 1 / (a - a)") for text in (query, message))
    assert "\n     | \t ^^^" in str(explain("x.sql", query, message))
