"""Tests of the time that the check of a query's text takes, whatever its author writes."""

from __future__ import annotations

import time

import pytest

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
