"""A lookup reads the days before a midnight: comparisons that let the day itself in are told."""

from __future__ import annotations

import pytest

from perennial.sql.own_day import own_day_problems
from perennial.sql.parse import parse_query

JOIN = "SELECT d.as_of, o.k, avg(o.v) AS r FROM dates d JOIN orders o ON {} GROUP BY d.as_of, o.k"
RIGHT = [
    "o.date < d.as_of",
    "d.as_of > o.date",
    "o.date <= d.date",
    "o.date BETWEEN date_sub(d.as_of, 28) AND date_sub(d.as_of, 1)",
    "o.date <= date_sub(d.as_of, 1)",
    "o.date <= as_of AND o.date < as_of",
    "o.date >= d.as_of - 28 AND o.date < d.as_of",
    "true",
]
WRONG = [
    "o.date <= d.as_of",
    "d.as_of >= o.date",
    "o.date <= as_of",
    "o.date = d.as_of",
    "d.as_of = o.date",
    "o.date BETWEEN date_sub(d.as_of, 28) AND d.as_of",
    "o.date > d.as_of - 28 AND O.DATE <= D.AS_OF",
]


@pytest.mark.parametrize("condition", RIGHT)
def test_what_reads_the_days_before_is_let_pass(condition: str) -> None:
    assert list(own_day_problems(parse_query("x.sql", JOIN.format(condition)))) == []


@pytest.mark.parametrize("condition", WRONG)
def test_what_lets_the_day_itself_in_is_told(condition: str) -> None:
    ((line, said),) = own_day_problems(parse_query("x.sql", JOIN.format(condition)))
    assert line == 1
    assert said.endswith("it includes rows of the day that begins at as_of. Compare with <")


def test_a_strict_comparison_of_one_source_excuses_no_other() -> None:
    query = (
        "SELECT d.as_of, f.carrier, AVG(w.wind) AS wind FROM dates d "
        "JOIN flights f ON f.date >= DATE_SUB(d.as_of, 7) AND f.date < d.as_of "
        "JOIN weather w ON w.date >= DATE_SUB(d.as_of, 7) AND w.date <= d.as_of GROUP BY d.as_of, f.carrier"
    )
    ((_, said),) = own_day_problems(parse_query("x.sql", query))
    assert said.startswith("w.date <= d.as_of")
