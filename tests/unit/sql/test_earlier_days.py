"""Reads of days before those in sight, and lookups without a first day: told where it is certain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.pipeline import Pipeline
from perennial.sql.check import check_sql
from perennial.sql.date_conditions import find_conditions
from perennial.sql.earlier_days import earlier_day_problems, unbounded_problems
from perennial.sql.parse import parse_query
from perennial.sql.sees import features_see, lookups_see

SOURCES = ("t", "w")
HEAD = "SELECT t.a FROM dates d JOIN t ON t.date = d.date JOIN w ON "


def early(join: str, lookback_days: int = 7) -> list[str]:
    sees = features_see(SOURCES, lookback_days, 0)
    tree = parse_query("x.sql", HEAD + join)
    return [text for _, text in earlier_day_problems(find_conditions(tree, SOURCES, sees.midnight), sees)]


@pytest.mark.parametrize(
    ("join", "needed"),
    [
        ("w.date >= DATE_SUB(d.date, 8) AND w.date <= d.date", 8),
        ("w.date > d.date - 30 AND w.date < t.date", 29),
        ("w.date BETWEEN d.date - INTERVAL 28 DAYS AND d.date", 28),
        ("w.date = DATE_SUB(t.date, 14)", 14),
        ("w.date < DATE_SUB(d.date, 7)", 8),
    ],
)
def test_a_lookback_longer_than_the_pipelines_is_told(join: str, needed: int) -> None:
    (text,) = early(join)
    assert f"training.lookback_days = 7 does not reach. Raise it to {needed}, or read fewer days" in text


@pytest.mark.parametrize(
    "join",
    [
        "w.date >= DATE_SUB(d.date, 7) AND w.date <= d.date",
        "w.date > d.date - 8",
        "w.date >= d.date - 30 AND w.date >= d.date - 7",  # bounded as well
        "w.date >= d.date - 30 OR w.a = 1",
        "w.date = d.date - x",  # not known here
        "w.seen_at >= d.date - INTERVAL 30 DAYS",
    ],
)
def test_a_lookback_within_the_pipelines_or_not_certain_passes(join: str) -> None:
    assert early(join) == []


@pytest.mark.parametrize(("days", "problems"), [(28, 0), (29, 1)])
def test_the_lookback_of_a_lookup_counts_from_its_midnight(days: int, problems: int) -> None:
    sees = lookups_see(SOURCES, 28)
    query = "SELECT 1 AS a FROM dates d JOIN t ON t.date >= DATE_SUB(d.as_of, {}) AND t.date < d.as_of"
    tree = parse_query("x.sql", query.format(days))
    assert len(list(earlier_day_problems(find_conditions(tree, SOURCES, sees.midnight), sees))) == problems


def unbounded(query: str) -> list[tuple[int, str]]:
    sees = lookups_see(SOURCES, 28)
    tree = parse_query("x.sql", query)
    return list(unbounded_problems(tree, find_conditions(tree, SOURCES, sees.midnight), sees))


SUM = "SELECT d.as_of, t.k, SUM(t.a) AS n FROM dates d JOIN t ON {} GROUP BY d.as_of, t.k"


@pytest.mark.parametrize(
    "query",
    [
        SUM.format("t.date < d.as_of"),
        SUM.format("t.date <= d.date AND t.a > 1"),
        "SELECT d.as_of, COUNT(*) AS n FROM dates d CROSS JOIN t WHERE d.as_of > t.date GROUP BY ALL",
        "WITH n AS (SELECT d.as_of, t.k, COUNT_IF(t.f) AS n FROM dates d JOIN t ON t.date < d.as_of GROUP BY 1, 2) "
        "SELECT as_of, k, n FROM n",
    ],
)
def test_a_sum_over_dates_without_a_first_one_is_told(query: str) -> None:
    ((_, text),) = unbounded(query)
    assert "the dates of 't' have no lower bound" in text
    assert text.endswith("add t.date >= DATE_SUB(as_of, 28), or fewer days")


@pytest.mark.parametrize(
    "query",
    [
        SUM.format("t.date >= DATE_SUB(d.as_of, 28) AND t.date < d.as_of"),
        SUM.format("t.date BETWEEN DATE_SUB(d.as_of, 28) AND d.date"),
        SUM.format("t.date < d.as_of AND DATEDIFF(d.as_of, t.date) <= 28"),
        SUM.format("t.date < d.as_of AND t.seen_at >= d.as_of - INTERVAL 28 DAYS"),
        SUM.format("t.date < d.as_of AND t.date >= '2026-01-01'"),
        "SELECT d.as_of, t.k, SUM(CASE WHEN t.date >= DATE_SUB(d.as_of, 28) THEN 1 END) AS n "
        "FROM dates d JOIN t ON t.date < d.as_of GROUP BY ALL",
        "WITH n AS (SELECT d.as_of, t.date, t.a FROM dates d JOIN t ON t.date < d.as_of) "
        "SELECT as_of, SUM(a) AS n FROM n WHERE date >= DATE_SUB(as_of, 28) GROUP BY as_of",
        "WITH n AS (SELECT d.as_of AS m, t.date AS s, t.a FROM dates d JOIN t ON t.date < d.as_of) "
        "SELECT m AS as_of, SUM(a) AS n FROM n WHERE s >= DATE_SUB(m, 28) GROUP BY m",
        "SELECT d.as_of, MAX_BY(t.a, t.date) AS n, COUNT(*) AS c FROM dates d JOIN t ON t.date < d.as_of GROUP BY d.as_of",
        "SELECT d.as_of, t.a AS n FROM dates d JOIN t ON t.date < d.as_of",
        "SELECT d.as_of, COUNT(*) AS n FROM dates d CROSS JOIN planes p GROUP BY d.as_of",
    ],
)
def test_other_bounds_pass_and_so_does_what_is_not_certain(query: str) -> None:
    assert unbounded(query) == []


def test_a_lookup_is_told_with_its_file_and_line(pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["inputs"]["lookups"] = {"rates": {"key": ["mode"], "values": ["rate"]}}
        document["training"]["lookback_days"] = 3

    folder = pipeline_factory().folder
    (folder / "lookups").mkdir()
    lookup = "SELECT d.as_of, r.mode, AVG(r.temperature) AS rate\nFROM dates d\nJOIN readings r ON {}\nGROUP BY ALL"
    (folder / "lookups" / "rates.sql").write_text(lookup.format("r.date < d.as_of"))
    pipeline = pipeline_factory(edit)
    assert check_sql(pipeline).problems == [
        "lookups/rates.sql, line 3: r.date < d.as_of: the dates of 'r' have no lower bound. A lookup may read "
        "training.lookback_days = 3 days: add r.date >= DATE_SUB(as_of, 3), or fewer days"
    ]
    (folder / "lookups" / "rates.sql").write_text(lookup.format("r.date >= DATE_SUB(d.as_of, 7) AND r.date < d.as_of"))
    assert check_sql(pipeline).problems == [
        "lookups/rates.sql, line 3: r.date >= DATE_ADD(d.as_of, 7 * -1): it asks for days that training.lookback_days = 3 "
        "does not reach. Raise it to 7, or read fewer days"
    ]
