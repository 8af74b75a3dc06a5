"""Running a cleaning step on Arrow tables, as a Python worker of Spark does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from perennial.clean.step_worker import ORDER, PROBLEM, Task, make_cleaner, make_probe
from perennial.config.clean_step import step_problems

DAY, ZONE = date(2013, 11, 3), "America/New_York"
INSTANT = pa.timestamp("us", tz="UTC")
NAMES = ["date", "n", "name", "seen"]


def rows(count: int = 3) -> pa.Table:
    """Return rows of one date in another order than that of their files, at instants half an hour apart."""
    seen = [datetime(2013, 11, 3, 5 + index // 2, 30 * (index % 2), tzinfo=UTC) for index in range(count)]
    return pa.table(
        {
            ORDER[0]: ["a.csv"] * count,
            ORDER[1]: list(range(count, 0, -1)),
            "date": pa.array([DAY] * count, pa.date32()),
            "n": pa.array(range(count), pa.int64()),
            "name": pa.array([" x "] * count, pa.string()),
            "seen": pa.array(seen, pa.timestamp("us", tz="UTC")),
        }
    )


def task(body: str) -> Task:
    return Task(
        "sources/a.py", f"import numpy as np\nimport pandas as pd\ndef clean(df):\n    return {body}\n", ZONE, {}, dated=True
    )


def columns_of(step: Task, table: pa.Table) -> dict[str, str]:
    (batch,) = make_probe(step, NAMES, table.schema)(iter([pa.RecordBatch.from_pydict({"id": [0]})]))
    answer = json.loads(batch["answer"][0].as_py())
    return dict(answer["columns"]) if "columns" in answer else answer


def clean(body: str, columns: dict[str, pa.DataType]) -> pa.Table:
    return make_cleaner(task(body), NAMES, {"date": pa.date32(), **columns})(rows())


def problem_of(table: pa.Table) -> str:
    assert table.num_rows == 1
    return " ".join(json.loads(table[PROBLEM][0].as_py()))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("df['n']", "bigint"),
        ("df['n'].astype('int8')", "tinyint"),
        ("np.int32(1)", "int"),
        ("df['n'] / 2", "double"),
        ("df['n'].astype('float32')", "float"),
        ("df['name']", "string"),
        ("df['name'].astype('str')", "string"),
        ("df['name'].astype('category')", "string"),
        ("df['n'].astype(pd.ArrowDtype(__import__('pyarrow').decimal128(10, 2)))", "decimal(10,2)"),
        ("df['n'] > 1", "boolean"),
        ("df['date']", "date"),
        ("df['seen']", "timestamp"),
        ("df['seen'].astype('datetime64[ns, Asia/Tokyo]')", "timestamp"),
        ("pd.to_datetime(df['name'], utc=True)", "timestamp"),
    ],
)
def test_types_of_pandas_numpy_and_arrow_have_a_type_in_spark(value: str, kind: str) -> None:
    assert columns_of(task(f"df.assign(x={value})"), rows())["x"] == kind


def test_rows_come_in_the_order_of_the_files_and_show_the_clock_of_the_zone() -> None:
    columns = {"n": pa.int64(), "hour": pa.int64(), "seen": pa.timestamp("us", tz="UTC")}
    result = clean("df.assign(hour=df['seen'].dt.hour)[['hour', 'date', 'n', 'seen']]", columns)
    assert result["n"].to_pylist() == [2, 1, 0]
    assert result["hour"].to_pylist() == [1, 1, 1], "summer time ends: 5:30 UTC is 1:30 in New York, and so is 6:30"
    assert result["seen"].equals(rows().sort_by(ORDER[1])["seen"])
    assert result.column_names == ["date", "n", "hour", "seen", PROBLEM]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("df['n'].astype('float64')", pa.int64(), [2, 1, 0]),
        ("[1, None, 3]", pa.int64(), [1, None, 3]),
        ("[np.nan, 1.5, np.nan]", pa.float64(), [None, 1.5, None]),
        ("[None, None, None]", pa.string(), [None, None, None]),
        ("df['seen'].astype('datetime64[ns, Asia/Tokyo]')", INSTANT, rows().sort_by(ORDER[1])["seen"].to_pylist()),
    ],
    ids=["whole", "object", "nan", "nulls", "zone"],
)  # fmt: skip
def test_values_of_another_type_are_taken_if_nothing_is_lost(value: str, kind: pa.DataType, expected: list[object]) -> None:
    assert clean(f"df[['date']].assign(x={value})", {"x": kind})["x"].to_pylist() == expected


@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        ("df['n'] + 0.5", pa.int64(), "column 'x': expected int64, as without rows; Float value 2.500000 was truncated"),
        ("df['n']", pa.string(), "column 'x': expected string, as without rows; is of type int64 on 2013-11-03"),
        ("['a', 1, 2.5]", pa.string(), "column 'x' holds values of several types on 2013-11-03"),
        (
            "df['seen'].dt.tz_localize(None)",
            pa.timestamp("us", tz="UTC"),
            "column 'x' has times without a time zone on 2013-11-03",
        ),
    ],
    ids=["fraction", "text", "mixed", "no zone"],
)
def test_values_that_would_change_are_refused(value: str, kind: pa.DataType, problem: str) -> None:
    assert problem in problem_of(clean(f"df[['date']].assign(x={value})", {"x": kind}))


def test_an_error_names_the_line_of_the_step_that_a_library_failed_for() -> None:
    problem = problem_of(clean("df.merge(df, on='nonesuch')", {}))
    assert problem.startswith(
        "sources/a.py, line 4 KeyError: 'nonesuch', in `return df.merge(df, on='nonesuch')`, on the rows of"
    )


@pytest.mark.parametrize(
    ("value", "kind", "remedy"),
    [
        ("df['name'].map(str)", pa.float64(), "df['x'].astype('string[pyarrow]')."),
        ("df['n'].astype('float64') + 0.5", pa.int64(), "df['x'].astype('double[pyarrow]')."),
        ("df['n'] > 1", pa.float64(), "df['x'].astype('bool[pyarrow]')."),
        ("[[1], [2], [3]]", pa.string(), "df['x'].astype('string[pyarrow]')."),
    ],
    ids=["text", "fraction", "boolean", "no table holds it"],
)
def test_the_remedy_for_a_column_of_two_types_names_the_type_of_the_rows(value: str, kind: pa.DataType, remedy: str) -> None:
    problem = problem_of(clean(f"df[['date']].assign(x={value})", {"x": kind}))
    assert f"expected {kind}, as without rows" in problem
    assert "large_string" not in problem
    assert problem.endswith(remedy)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("df['names']", "df has no column 'names'. Did you mean 'name'? Its columns are date, n, name, seen."),
        ("df.drop(columns=['names'])", "df has no column 'names'. Did you mean 'name'? Its columns are date, n, name, seen."),
        ("df[['n', 'sen', 'x']]", "df has no column 'sen'. Did you mean 'seen'? Its columns are date, n, name, seen."),
        ("df['weather']", "df has no column 'weather'. Its columns are date, n, name, seen."),
    ],
    ids=["near", "drop", "several", "none near"],
)
def test_an_unknown_column_is_named_beside_the_columns(value: str, hint: str) -> None:
    where, problem, remedy = columns_of(task(value), rows())["problem"]
    assert where == "sources/a.py, line 4"
    assert problem.endswith(f", in `return {value}`"), "the missing rows are not the cause"
    assert remedy == hint


@pytest.mark.parametrize("value", ["{'name': 1}['names']", "df['n'].sum() / {}[len(df)]"], ids=["text", "number"])
def test_a_key_of_the_steps_own_mapping_is_no_column(value: str) -> None:
    _, problem, remedy = columns_of(task(value), rows())["problem"]
    assert "on a DataFrame without rows" in problem
    assert remedy == "Change the file so that it handles such rows."


def test_the_documented_step_can_run(documented: Callable[[str, str], list[str]]) -> None:
    (source,) = documented("docs/how-to/clean-with-pandas.md", "python")
    assert step_problems(source) == []
    schema = {
        "date": pa.date32(),
        "machine": pa.string(),
        "measured_at": pa.timestamp("us", tz="UTC"),
        "temperature": pa.float64(),
    }
    step, names = Task("sources/readings.py", source, ZONE, {}, dated=True), list(schema)
    instant = datetime(2013, 11, 3, 12, tzinfo=UTC)
    table = pa.table([[DAY] * 2, [" m1", "M1 "], [instant] * 2, [81.5, 20.0]], schema=pa.schema(schema))
    (batch,) = make_probe(step, names, table.schema)(iter([table.to_batches()[0]]))
    assert json.loads(batch["answer"][0].as_py())["columns"] == [
        ["date", "date"], ["machine", "string"], ["temperature", "double"], ["hour", "bigint"], ["is_hot", "boolean"]
    ]  # fmt: skip
    for name in reversed(ORDER):
        table = table.add_column(0, name, pa.array([1, 2]))
    kinds = {"date": pa.date32(), "machine": pa.string(), "temperature": pa.float64(), "hour": pa.int64(), "is_hot": pa.bool_()}
    assert make_cleaner(step, names, kinds)(table).to_pylist() == [
        {"date": DAY, "machine": "M1", "temperature": 81.5, "hour": 7, "is_hot": True, PROBLEM: None}
    ]
