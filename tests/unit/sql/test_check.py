"""Looking into SQL without Spark: what is surely wrong is told with its line, what is right or doubtful is let pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perennial.config.load import load_pipeline, pipeline_names
from perennial.config.pipeline import Pipeline
from perennial.sql.check import Findings, check_sql
from perennial.sql.columns import look_at_columns, untyped_nulls
from perennial.sql.finding import Doubt, Problem
from perennial.sql.functions import function_problems
from perennial.sql.parse import parse_query
from perennial.sql.refused_functions import refused_texts
from perennial.sql.tables import table_problems
from stack.config import REPO

VIEWS: dict[str, list[str] | None] = {
    "dates": ["date", "as_of"],
    "t": ["date", "id", "a", "b", "x", "d", "ts", "c", "arr", "m", "s"],
    "u": ["date", "id", "a", "q"],
    "hidden": None,
}


def found_in(query: str) -> list[str]:
    tree = parse_query("x.sql", query)
    return [text for _, text in sorted({*table_problems(tree, VIEWS), *look_at_columns(tree, VIEWS)[0]})]


@pytest.mark.parametrize("root", ["include/pipelines", "tests/pipelines"])
def test_nothing_is_wrong_with_the_pipelines_of_the_repository(root: str) -> None:
    for name in pipeline_names(REPO / root):
        assert check_sql(load_pipeline(name, REPO / root)) == Findings([], [])


# Each of these runs in Spark 4.1.
RIGHT = [
    "SELECT T.A, `b` FROM t",
    "SELECT t.a, s.field, t.s.other, m['k'], m.key, arr[0] FROM t",
    "SELECT a AS a1, a1 + 1 AS a2 FROM t WHERE a > 1 GROUP BY a, b HAVING a > 1 ORDER BY a2",
    "SELECT a, count(*) AS n FROM t GROUP BY ALL ORDER BY ALL",
    "SELECT transform(arr, (el, ix) -> el + ix + a), filter(arr, y -> y > b), exists(arr, o -> o = a) FROM t",
    "SELECT aggregate(arr, 0, (acc, el) -> acc + el, acc -> acc * b) FROM t",
    "SELECT k, v, e FROM t LATERAL VIEW explode(m) mm AS k, v LATERAL VIEW OUTER explode(arr) AS e",
    "SELECT pos, col FROM t LATERAL VIEW posexplode(arr)",
    "SELECT e.el FROM t, LATERAL explode(arr) AS e(el)",
    "SELECT t.a, l.q1 FROM t CROSS JOIN LATERAL (SELECT t.a + u.q AS q1 FROM u WHERE u.id = t.id) l",
    "WITH n(p, r) AS (SELECT a, b FROM t), o AS (SELECT p FROM n) SELECT n.r, o.p FROM n JOIN o USING (p)",
    "WITH w1 AS (WITH w2 AS (SELECT a FROM t) SELECT a FROM w2) SELECT a FROM w1",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n, t.a FROM r JOIN t ON t.a = r.n",
    "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND q > x)",
    "SELECT (SELECT max(uu.q) FROM u uu WHERE uu.id = o.id) AS most FROM t o",
    "SELECT t.a FROM t LEFT SEMI JOIN u ON u.q = t.a",
    "SELECT f.a, f.q FROM (SELECT t.*, u.q FROM t LEFT ANTI JOIN dates z ON z.date = t.d JOIN u ON u.id = t.id) f",
    "SELECT a, sum(b) OVER w, row_number() OVER (PARTITION BY c ORDER BY d) FROM t WINDOW w AS (PARTITION BY c ORDER BY d)",
    "SELECT max(a) FILTER (WHERE b > 1), percentile(x, 0.5), count(DISTINCT a, b), first(a) IGNORE NULLS FROM t GROUP BY c",
    "SELECT listagg(c, ',') WITHIN GROUP (ORDER BY c) FROM t",
    "SELECT a, b, grouping_id() FROM t GROUP BY CUBE (a, b)",
    "SELECT one, two FROM (SELECT a, b FROM t) PIVOT (SUM(b) FOR a IN (1 AS one, 2 AS two))",
    "SELECT nm, val FROM (SELECT a, b FROM t) UNPIVOT (val FOR nm IN (a, b))",
    "SELECT timestampadd(HOUR, a, ts), timestampdiff(MINUTE, ts, ts), dateadd(DAY, a, d), extract(HOUR FROM ts) FROM t",
    "SELECT d + INTERVAL 3 DAYS, DATE '2020-01-01', current_date, trim(BOTH 'x' FROM c), substring(c FROM 2 FOR 3) FROM t",
    "SELECT col1 FROM VALUES (1), (2)",
    "SELECT v.p FROM VALUES (1), (2) AS v(p)",
    "SELECT r.id FROM range(5) r JOIN t ON t.id = r.id",
    "SELECT /*+ BROADCAST(u) */ t.a FROM t TABLESAMPLE (10 PERCENT) JOIN u ON t.id = u.id",
    "SELECT a FROM t UNION ALL SELECT q FROM u ORDER BY a",
    "FROM t |> WHERE a > 1 |> EXTEND a + 1 AS z |> SELECT z, b",
    "FROM t SELECT a WHERE b > 1",
    "SELECT * EXCEPT (a) FROM t NATURAL JOIN u",
    "SELECT anything, h.whatever FROM hidden h JOIN t ON t.id = h.key",
    "SELECT a FROM t TIMESTAMP JOIN u ON timestamp.id = u.id",
    "SELECT t.a, t2.b FROM t JOIN t AS t2 ON t.id = t2.id",
    "SELECT a FROM t;\n",
]


@pytest.mark.parametrize("query", RIGHT)
def test_right_query_is_let_pass(query: str) -> None:
    assert found_in(query) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT az FROM t", ["unknown column 'az'. Did you mean 'a'?"]),
        ("SELECT t.az, y.b FROM t", ["unknown column 'az' of 't'. Did you mean 'a'?", "unknown table or alias 'y' in y.b."]),
        (
            "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.idd)",
            ["unknown column 'idd' of 't'. Did you mean 'id'?"],
        ),
        ("WITH n AS (SELECT a AS p FROM t) SELECT n.a FROM n", ["unknown column 'a' of 'n'."]),
        (
            "WITH n AS (SELECT t.*, u.q FROM t JOIN u ON t.id = u.id) SELECT n.qq FROM n",
            ["unknown column 'qq' of 'n'. Did you mean 'q'?"],
        ),
        ("SELECT f.b FROM (SELECT a FROM t) f", ["unknown column 'b' of 'f'."]),
        ("SELECT p FROM (SELECT a FROM t) AS f(r)", ["unknown column 'p'."]),
        ("SELECT transform(arr, el -> ell + 1) FROM t", ["unknown column 'ell'."]),
        ("SELECT a FROM t JOIN u ON t.id = u.idd", ["unknown column 'idd' of 'u'. Did you mean 'id'?"]),
        ("SELECT a FROM tt", ["unknown table or view 'tt'. Did you mean 't'? Available: dates, hidden, t, u"]),
        ("SELECT a FROM t UNION SELECT a FROM x", ["unknown table or view 'x'. Available: dates, hidden, t, u"]),
        (
            "SELECT a FROM ice.main__p.clean_t",
            ["'ice.main__p.clean_t' is a full name or a path; a query may read only dates, hidden, t, u, by these names"],
        ),
        (
            "SELECT * FROM text.`/etc/passwd`",
            ["'text./etc/passwd' is a full name or a path; a query may read only dates, hidden, t, u, by these names"],
        ),
        (
            "SELECT a FROM t WHERE a IN (SELECT z FROM csv.`s3a://x/y`)",
            ["'csv.s3a://x/y' is a full name or a path; a query may read only dates, hidden, t, u, by these names"],
        ),
        ("SELECT a FROM `ice.db.t`", ["unknown table or view 'ice.db.t'. Available: dates, hidden, t, u"]),
        ("SELECT a FROM IDENTIFIER('t')", ["IDENTIFIER(…) as a table; write one of dates, hidden, t, u"]),
        ("WITH x AS (SELECT a FROM x) SELECT a FROM x", ["unknown table or view 'x'. Available: dates, hidden, t, u"]),
        ("SELECT a FROM t VERSION AS OF 1", ["'t' is a view and has no versions; select dates with a condition"]),
    ],
)  # fmt: skip
def test_wrong_name_is_told(query: str, expected: list[str]) -> None:
    assert found_in(query) == expected


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("SELECT a + rand() AS a FROM t", "rand"),
        ("SELECT a FROM t WHERE a < (SELECT max(uuid()) FROM u)", "uuid"),
        ("SELECT current_timestamp AS a FROM t", "current_timestamp"),
        ("SELECT CURRENT_DATE AS a FROM t", "current_date"),
        ("SELECT now() AS a FROM t", "now"),
        ("SELECT unix_timestamp() AS a FROM t", "depends on the time"),
        ("SELECT reflect('java.lang.System', 'getenv') AS a FROM t", "reflect"),
        ("SELECT java_method('java.lang.System', 'getenv', 'HOME') AS a FROM t", "java_method"),
        ("SELECT TRANSFORM(a) USING 'id' AS (x string) FROM t", "TRANSFORM"),
        ("SELECT input_file_name() AS a FROM t", "input_file_name"),
        ("SELECT IDENTIFIER('current_date') AS a FROM t", "IDENTIFIER"),
        ("SELECT a FROM t TABLESAMPLE (50 PERCENT)", "TABLESAMPLE"),
        ("SELECT hex(aes_encrypt('a', '0000111122223333')) AS a FROM t", "aes_encrypt"),
        ("SELECT user() AS a FROM t", "user"),
        ("SELECT xpath_string('<a/>', 'a') AS a FROM t", "xpath_string: a text can make it ask any address"),
        ("SELECT default.f(a) AS a FROM t", "default.f: a query calls only Spark's own functions"),
        ("SELECT system.builtin.abs(a) AS a FROM t", "system.builtin.abs: a query calls only Spark's own functions"),
        ("SELECT conut_if(a) AS a FROM t", "conut_if: Spark 4.1 has no such function. Did you mean 'count_if'?"),
        ("SELECT from_xml('<a>1</a>', 'a INT', map('rowValidationXSDPath', '/etc/passwd')) AS a FROM t", "from_xml"),
    ],
)
def test_a_call_that_makes_another_result_or_runs_code_is_told(query: str, name: str) -> None:
    (said,) = called_in(query)
    assert name in said


@pytest.mark.parametrize(
    "query",
    [
        "SELECT unix_timestamp('2026-03-01') AS a FROM t",
        "SELECT hash(a) AS a FROM t",
        "SELECT transform(arr, x -> x + 1) AS a FROM t",
    ],
)
def test_other_calls_pass(query: str) -> None:
    assert called_in(query) == []


@pytest.mark.parametrize(
    "query", ["SELECT a FROM t WHERE a = 'tonight'", "SELECT a AS now, 'x today' AS b FROM t", "SELECT '$1' AS a FROM t"]
)
def test_other_texts_pass(query: str) -> None:
    assert refused_texts(query) == []


@pytest.mark.parametrize("query", ["WITH n AS (SELECT a FROM t)\nSELECT a, NULL AS b FROM n", "SELECT a,\n(null) AS b FROM t"])
def test_a_null_without_a_type_is_told(query: str) -> None:
    told = "column 'b' is NULL and has no type: give it one, for example CAST(NULL AS STRING)"
    assert list(untyped_nulls(parse_query("x.sql", query))) == [(2, told)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT CAST(NULL AS STRING) AS b FROM t",
        "SELECT NULL AS b UNION ALL SELECT a FROM t",
        "SELECT coalesce(NULL, a) AS b FROM t",
    ],
)
def test_a_null_that_gets_a_type_passes(query: str) -> None:
    assert list(untyped_nulls(parse_query("x.sql", query))) == []


@pytest.mark.parametrize(("columns", "problems"), [(["a"], 1), (["a", "user"], 0), (None, 0)])
def test_user_is_a_function_unless_a_column_has_that_name(columns: list[str] | None, problems: int) -> None:
    assert len(list(function_problems(parse_query("x.sql", "SELECT user FROM t"), {"t": columns}))) == problems


def called_in(query: str) -> list[str]:
    return [text for _, text in function_problems(parse_query("x.sql", query), VIEWS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x.sql: empty"),
        ("-- nothing yet\n", "x.sql: empty"),
        ("SELCT a FROM t", "x.sql, line 1: a query must begin with SELECT or WITH, found 'SELCT'"),
        ("\nDROP TABLE t", "x.sql, line 2: a query must begin with SELECT or WITH, found 'DROP'"),
        ("INSERT INTO t SELECT 1", "found 'INSERT'"),
        ("WITH n AS (SELECT 1) INSERT INTO t SELECT * FROM n", "x.sql: expected a query, found INSERT"),
        ("SELECT a FROM t;\nDROP TABLE t", "x.sql, line 1: a semicolon"),
        ("SELECT\n(a FROM t", "x.sql, line 2: an opening ( without a closing )"),
        ("SELECT a) FROM t", "x.sql, line 1: a closing ) without an opening ("),
    ],
)
def test_what_is_no_query_is_told(text: str, expected: str) -> None:
    with pytest.raises(Problem) as found:
        parse_query("x.sql", text)
    assert expected in str(found.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT a\nFROM t WHERE (a > 1) b c d", "x.sql, line 2: probably a syntax error at 'b'"),
        ("SELECT 'a", "x.sql: not understood"),
        ("TABLE t", "x.sql: a query without SELECT is not checked"),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, "x.sql: nested too deep"),
        ("SELECT " + "+".join(["a"] * 20_000), "x.sql: more than 10,000 words or 100 SELECTs, too long to be checked"),
        (" UNION ALL ".join(["SELECT 1"] * 1_600), "too long to be checked"),
    ],
    ids=["syntax", "open quote", "table", "deep", "long", "unions"],
)
def test_what_is_not_understood_is_a_doubt(text: str, expected: str) -> None:
    with pytest.raises(Doubt) as found:
        parse_query("x.sql", text)
    assert expected in str(found.value)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a FROM t WHERE c = 'x; y (' -- ; (",
        "SELECT a /* ; ( */ FROM t",
        "SELECT r'\\d(;' FROM t",
        "SELECT 'it\\'s (' FROM t",
    ],
)
def test_marks_in_texts_and_comments_are_no_syntax(query: str) -> None:
    assert found_in(query) == []


RATES = "SELECT d.as_of, r.mode, 1.0 AS rate FROM dates d JOIN readings r ON r.date < d.as_of"


@pytest.fixture
def check(pipeline_factory) -> Callable[[dict[str, str]], Findings]:
    """Return a function that gives machine_faults other SQL files and returns what is found in them."""

    def lookup(document: dict[str, Any]) -> None:
        document["inputs"]["lookups"] = {"rates": {"key": ["mode"], "values": ["rate"]}}

    def run(files: dict[str, str]) -> Findings:
        folder: Path = pipeline_factory().folder
        (folder / "lookups").mkdir()
        (folder / "lookups" / "rates.sql").write_text(RATES)
        pipeline: Pipeline = pipeline_factory(lookup)
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        return check_sql(pipeline)

    return run


def test_columns_that_a_file_must_yield(check: Callable[[dict[str, str]], Findings]) -> None:
    found = check(
        {
            "features.sql": (
                "SELECT r.date, r.reading_id, r.temperature, r.presure AS presure, r.machine, r.mode, r.mode FROM readings r"
            ),
            "lookups/rates.sql": "SELECT r.mode, 1.0 AS rate, 2 AS more FROM readings r",
            "analysis/faults_by_mode.sql": "SELECT count(*) AS n FROM readings",
            "sources/readings.sql": "SELECT reading_id, mode, machine, temperature, pressure, has_fault FROM drop",
        }
    )

    assert found.doubts == []
    assert found.problems == [
        "sources/readings.sql: column 'date' is missing in the SELECT list.",
        "features.sql, line 1: unknown column 'date' of 'r'.",
        "features.sql, line 1: unknown column 'presure' of 'r'. Did you mean 'pressure'?",
        "features.sql: column 'pressure' is missing in the SELECT list. Did you mean 'presure'?",
        "features.sql: column 'fault' is missing in the SELECT list.",
        "features.sql: column 'mode' is selected twice",
        "features.sql: column 'presure' is not one that pipeline.yaml declares for this file",
        "lookups/rates.sql: column 'as_of' is missing in the SELECT list.",
        "lookups/rates.sql: column 'more' is not one that pipeline.yaml declares for this file",
        "analysis/faults_by_mode.sql: column 'date' is missing in the SELECT list.",
    ]


@pytest.mark.parametrize("name", ["_deleted", "_Partition"])
def test_a_column_that_iceberg_reserves_is_told(check: Callable[[dict[str, str]], Findings], name: str) -> None:
    analysis, source = f"SELECT date, 1 AS {name} FROM dates", f"SELECT *, 1 AS {name} FROM drop"  # noqa: S608
    found = check({"analysis/faults_by_mode.sql": analysis, "sources/readings.sql": source})
    expected = f"column {name.lower()!r} is reserved by Iceberg: Spark could not read the table. Choose another name"
    assert set(found.problems) == {f"analysis/faults_by_mode.sql: {expected}", f"sources/readings.sql: {expected}"}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT readings.date FROM readings, readings", "'readings'"),
        ("SELECT r.date FROM readings r JOIN readings R ON true JOIN dates JOIN dates", "'dates' and two named 'r'"),
        ("SELECT s.date FROM (SELECT date FROM dates) s, (SELECT date FROM dates) s", "'s'"),
    ],
)
def test_a_name_of_two_tables_is_a_doubt(check: Callable[[dict[str, str]], Findings], query: str, names: str) -> None:
    found = check({"analysis/faults_by_mode.sql": query, "sources/readings.sql": "SELECT * FROM drop"})
    (doubt,) = found.doubts
    assert (found.problems, found.unchecked) == ([], ["analysis/faults_by_mode.sql"])
    assert f"analysis/faults_by_mode.sql: one FROM reads two tables named {names}, so" in doubt


def test_a_null_without_a_type_is_told_with_its_file(check: Callable[[dict[str, str]], Findings]) -> None:
    found = check({"analysis/faults_by_mode.sql": "SELECT date,\n NULL AS since FROM dates"})
    assert found.problems == [
        "analysis/faults_by_mode.sql, line 2: column 'since' is NULL and has no type: "
        "give it one, for example CAST(NULL AS STRING)"
    ]


def test_views_are_those_of_the_stage(check: Callable[[dict[str, str]], Findings]) -> None:
    found = check(
        {
            "sources/readings.sql": "SELECT * FROM drop JOIN dates USING (date)",
            "analysis/faults_by_mode.sql": "SELECT date, x FROM drop",
            "analysis/other.sql": "SELECT date FROM rates",
        }
    )

    assert found.problems == [
        "sources/readings.sql, line 1: unknown table or view 'dates'. Available: drop",
        "analysis/faults_by_mode.sql, line 1: unknown table or view 'drop'. Available: dates, readings",
        "analysis/other.sql, line 1: unknown table or view 'rates'. Did you mean 'dates'? Available: dates, readings",
    ]


def test_columns_of_a_source_are_those_that_its_sql_yields(check: Callable[[dict[str, str]], Findings]) -> None:
    shaped = "SELECT date, reading_id, machine, mode, temperature, pressure, has_fault AS broken FROM drop"
    found = check({"sources/readings.sql": shaped})

    assert found.problems == [
        "features.sql, line 9: unknown column 'has_fault' of 'r'.",
        "features.sql, line 11: unknown column 'has_fault' of 'r'.",
        "analysis/faults_by_mode.sql, line 6: unknown column 'has_fault' of 'r'.",
    ]


def test_columns_that_are_not_sure_are_no_problem(check: Callable[[dict[str, str]], Findings]) -> None:
    found = check({"sources/readings.sql": "SELECT *, explode(array(1)) FROM drop", "features.sql": "SELECT *, 1 FROM readings"})

    assert found == Findings([], [])


FEATURES = """
SELECT r.date, r.reading_id, r.temperature, r.pressure, r.machine, {mode} AS mode, r.has_fault AS fault
FROM dates d JOIN readings r ON r.date = d.date
"""
DROP = "SELECT date, reading_id, machine, {mode}, temperature, pressure, has_fault FROM drop"


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"since": "2026-03-10"}, "since: 2026-03-10"),
        ({"until": "2026-05-31"}, "until: 2026-05-31"),
        ({"optional": True}, "optional: true"),
        ({"since": "2020-01-01"}, ""),
        ({}, ""),
    ],
    ids=["since", "until", "optional", "since before the start", "always there"],
)
def test_a_field_that_is_null_on_some_dates_is_a_warning(
    pipeline_factory: Callable[..., Pipeline], declared: dict[str, Any], told: str
) -> None:
    def declare(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["mode"] |= declared

    found = check_sql(pipeline_factory(declare))

    assert found.problems == []
    assert found.doubts == [
        "features.sql: request field 'mode' may not be null, but column 'mode' of readings is null where a drop "
        f"lacks it ({told}). Allow null with `mode: category?`, or fill the column or leave these rows out in features.sql"
    ] * bool(told)


@pytest.mark.parametrize(
    ("file", "text", "is_told"),
    [
        ("features.sql", FEATURES.format(mode="CAST(r.mode AS STRING)"), True),
        ("features.sql", f"WITH f AS ({FEATURES.format(mode='mode')}) SELECT f.* EXCEPT (mode), f.mode FROM f", True),  # noqa: S608
        ("features.sql", FEATURES.format(mode="COALESCE(r.mode, 'idle')"), False),
        ("features.sql", FEATURES.format(mode="r.mode") + "WHERE r.mode IS NOT NULL", False),
        ("sources/readings.sql", "SELECT * FROM drop", False),
        ("sources/readings.sql", DROP.format(mode="mode"), True),
        ("sources/readings.sql", DROP.format(mode="COALESCE(mode, 'idle') AS mode"), False),
    ],
    ids=["cast", "with", "filled", "left out", "not certain", "cleaning step", "filled by the cleaning step"],
)
def test_a_warning_of_null_follows_the_column_through_the_sql(
    pipeline_factory: Callable[..., Pipeline], file: str, text: str, is_told: bool
) -> None:
    def declare(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["mode"]["optional"] = True

    pipeline = pipeline_factory(declare)
    (pipeline.folder / file).parent.mkdir(exist_ok=True)
    (pipeline.folder / file).write_text(text)
    found = check_sql(pipeline)
    assert found.problems == []
    assert len(found.doubts) == is_told


def test_a_field_that_allows_null_is_no_warning(pipeline_factory: Callable[..., Pipeline]) -> None:
    def declare(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["mode"]["optional"] = True
        document["inputs"]["request"]["mode"] = "category?"

    assert check_sql(pipeline_factory(declare)) == Findings([], [])


@pytest.mark.parametrize(
    ("text", "line", "caret"),
    [
        ("SELECT r.mode\n  r.machine FROM readings r", 2, "."),
        ("SELECT\r\n\tr.mode x machine FROM readings r", 2, "m"),
        ("SELECT r.mode\rFROM readings r WHERE r.mode =", 2, "="),
    ],
    ids=["missing comma", "three names", "nothing after ="],
)
def test_a_probable_syntax_error_has_a_place(pipeline_factory: Callable[..., Pipeline], text: str, line: int, caret: str) -> None:
    pipeline = pipeline_factory()
    (pipeline.folder / "analysis" / "faults_by_mode.sql").write_bytes(text.encode())
    found = check_sql(pipeline)
    assert (found.problems, found.unchecked) == ([], ["analysis/faults_by_mode.sql"])
    head, shown, mark = found.doubts[0].split("\n")
    assert head.startswith(f"analysis/faults_by_mode.sql, line {line}: probably a syntax error at {caret!r}"[:-1])
    assert shown[mark.index("^")] == caret


@pytest.mark.parametrize("text", ["SELECT r.date, r.mode\nFORM readings r", "SELECT r.date AS d\nform readings r"])
def test_form_for_from_is_certainly_wrong(pipeline_factory: Callable[..., Pipeline], text: str) -> None:
    pipeline = pipeline_factory()
    (pipeline.folder / "analysis" / "faults_by_mode.sql").write_text(text)
    problem = "analysis/faults_by_mode.sql, line 2: syntax error at 'FORM'. Did you mean 'FROM'?"
    assert check_sql(pipeline).problems == [problem]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT r.date, r.mode AS form FROM readings r",
        "SELECT r.date, r.mode form FROM readings r",
        "SELECT form.date, form.mode x FROM readings form",
        "SELECT r.date FROM readings r LATERAL VIEW explode(array(1)) form value",
        "SELECT r.date FROM readings r, dates form SETMINUS SELECT date FROM dates",
    ],
    ids=["alias", "alias without AS", "table", "lateral view", "setminus"],
)
def test_form_may_be_a_name(pipeline_factory: Callable[..., Pipeline], text: str) -> None:
    pipeline = pipeline_factory()
    (pipeline.folder / "analysis" / "faults_by_mode.sql").write_text(text)
    assert check_sql(pipeline).problems == []
