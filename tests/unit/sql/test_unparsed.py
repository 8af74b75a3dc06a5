"""Syntax that the parser does not know: what the tokens show to be refused is a problem, and no doubt."""

from __future__ import annotations

import pytest

from perennial.sql.unparsed import problems_of_tokens

REFUSED = [
    ("FROM t |> SET s = reflect('java.lang.System', 'getenv')", "the function reflect: it runs code outside the query"),
    ("FROM t |> SET s = UUID ()", "the function uuid: "),
    ("FROM t |> SET s = `xpath`(a, 'b')", "the function xpath: "),
    ("FROM t |> SET s = default.f(a)", "the function default.f: a query calls only Spark's own functions"),
    ("FROM t |> SET s = unix_timestamp()", "the function unix_timestamp: "),
    ("FROM t |> SET s = (SELECT max(v) FROM text.`/etc/passwd`)", "'text./etc/passwd' is a full name or a path"),
    ("FROM t |> SET s = 1 |> JOIN ice.db.t USING (a)", "'ice.db.t' is a full name or a path"),
]
PASSES = [
    "FROM t |> SET s = extract(DAY FROM t.ts), u = trim(BOTH 'x' FROM t.c), v = substring(t.c FROM 2)",
    "FROM t |> SET s = a IS DISTINCT FROM t.b",
    "FROM t |> SET s = unix_timestamp(a), u = count(*)",
    "FROM (SELECT 1) AS uuid(a) |> SET a = t.a IN (1, 2)",
    "FROM t |> SET s = 'reflect(' || \"uuid(\" -- rand()",
    "SELECT 'open",
]


@pytest.mark.parametrize(("query", "expected"), REFUSED)
def test_what_the_job_would_refuse_is_named(query: str, expected: str) -> None:
    found = [text for _, text in problems_of_tokens(query)]
    assert [text[: len(expected)] for text in found] == [expected]


@pytest.mark.parametrize("query", PASSES)
def test_what_may_be_right_passes(query: str) -> None:
    assert list(problems_of_tokens(query)) == []
