"""Reads of days after those in sight: told where it is sure, and by what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.pipeline import Pipeline
from perennial.sql.check import Findings, check_sql
from perennial.sql.columns import look_at_columns
from perennial.sql.date_conditions import find_conditions
from perennial.sql.later_days import later_day_problems
from perennial.sql.parse import parse_query
from perennial.sql.sees import Sees, labels_see

HEAD = "SELECT t.a FROM dates d JOIN t ON t.date = d.date "


def said(joins: str, last: int = 0, midnight: int = 0) -> int:
    sees = Sees(("t", "w"), -7, last, midnight, "", 7)
    conditions = find_conditions(parse_query("x.sql", HEAD + joins), sees.sources, sees.midnight)
    return len(list(later_day_problems(conditions, sees)))


@pytest.mark.parametrize(
    "joins",
    [
        "JOIN w ON w.date = d.date + 1",
        "LEFT JOIN w n ON n.date = DATE_ADD(t.date, 1)",
        "LEFT JOIN w n ON DATE_SUB(n.date, 1) = d.date AND n.a = t.a",
        "LEFT JOIN w n ON n.date > d.date",
        "LEFT JOIN w n ON n.date BETWEEN d.date AND d.date + INTERVAL 1 DAY",
        "LEFT JOIN w n ON n.a = t.a WHERE n.date >= dateadd(DAY, 2, CAST(d.date AS DATE))",
    ],
)
def test_later_days_are_told(joins: str) -> None:
    assert said(joins) == 1


@pytest.mark.parametrize(
    "joins",
    [
        "",
        "JOIN w ON w.date BETWEEN DATE_SUB(d.date, 7) AND d.date",
        "JOIN w ON w.date <= t.date + 1 AND w.date <= d.date",  # bounded as well
        "JOIN w ON w.date < d.date + 1",
        "JOIN w ON w.date + 1 = d.date",
        "JOIN w ON w.date = d.date + x",  # not known here
        "JOIN w ON w.a = t.a AND (w.date = d.date + 1 OR w.a = 1)",
        "JOIN (SELECT date - 1 AS date, a FROM w) w ON w.date = d.date + 1",
        "JOIN w ON w.date = d.date + INTERVAL 1 MONTH",
    ],
)
def test_what_is_not_sure_or_in_sight_passes(joins: str) -> None:
    assert said(joins) == 0


@pytest.mark.parametrize(
    ("joins", "expected"),
    [
        ("LEFT JOIN w ON w.date >= d.date AND w.date < d.as_of", 0),
        ("LEFT JOIN w ON w.date BETWEEN d.date AND d.date + 2", 0),
        ("LEFT JOIN w ON w.date BETWEEN d.date AND d.date + 3", 1),
        ("LEFT JOIN w ON w.date <= d.as_of", 1),
    ],
)
def test_labels_see_the_days_until_they_are_known(joins: str, expected: int) -> None:
    assert said(joins, last=2, midnight=3) == expected


def problems(pipeline: Pipeline) -> str:
    return "\n".join(check_sql(pipeline).problems)


def test_a_label_of_the_next_day_gets_the_remedy_before_anything_runs(pipeline_factory: Callable[..., Pipeline]) -> None:
    pipeline = pipeline_factory()
    (pipeline.folder / "features.sql").write_text(
        "SELECT r.date, r.reading_id, r.temperature, r.pressure, r.machine, r.mode, n.has_fault AS fault\n"
        "FROM dates d JOIN readings r ON r.date = d.date\n"
        "LEFT JOIN readings n ON n.machine = r.machine AND n.date = d.date + 1\n"
    )
    assert problems(pipeline) == (
        "features.sql, line 3: n.date = d.date + 1: it reads days that the query cannot see; "
        "features.sql sees nothing after the date of a row. "
        "For a label that depends on later days, set label.known_after_days and select it in labels.sql"
    )


def test_the_documented_recipes_pass(
    pipeline_factory: Callable[..., Pipeline], documented: Callable[[str, str], list[str]]
) -> None:
    features, labels, rain = documented("docs/how-to/labels-that-come-later.md", "sql")
    pipeline = pipeline_factory(name="returned_orders")
    (pipeline.folder / "features.sql").write_text(features)
    (pipeline.folder / "labels.sql").write_text(labels)
    assert check_sql(pipeline) == Findings([], [])
    tree = parse_query("labels.sql", rain)
    views = {"dates": ["date", "as_of"], "weather": ["date", "station", "observed_at", "rain_mm"]}
    sees = labels_see(("weather",), 28, 1)
    assert list(later_day_problems(find_conditions(tree, sees.sources, sees.midnight), sees)) == []
    assert look_at_columns(tree, views) == ([], ["date", "station", "observed_at", "rains_soon"])


def test_features_that_select_a_later_label_are_refused(pipeline_factory: Callable[..., Pipeline]) -> None:
    pipeline = pipeline_factory(name="returned_orders")
    features = pipeline.folder / "features.sql"
    features.write_text(features.read_text().replace("o.price\n", "o.price, o.is_gift AS is_returned\n"))
    assert problems(pipeline) == (
        "features.sql: column 'is_returned' is the label, which is known only after its date: select it only in labels.sql"
    )


def test_labels_are_looked_into_like_other_files(pipeline_factory: Callable[..., Pipeline]) -> None:
    def days(document: dict[str, Any]) -> None:
        document["label"]["known_after_days"] = 1

    pipeline = pipeline_factory(days, name="returned_orders")
    (pipeline.folder / "labels.sql").write_text(
        "SELECT o.date, o.order_id, COUNT(r.nr) > 0 AS was_returned\n"
        "FROM dates d JOIN orders o ON o.date = d.date LEFT JOIN returns r\n"
        "ON r.order_id = o.order_id AND r.date <= d.date + 2 GROUP BY ALL\n"
    )
    found = problems(pipeline)
    assert "labels.sql, line 1: unknown column 'nr' of 'r'" in found
    assert (
        "labels.sql, line 3: r.date <= d.date + 2: it reads days that the query cannot see; "
        "labels.sql sees 1 day after a date (label.known_after_days)" in found
    )
    assert "labels.sql: column 'is_returned' is missing in the SELECT list. Did you mean 'was_returned'?" in found
