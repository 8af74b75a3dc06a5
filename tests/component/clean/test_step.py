"""A cleaning step in Python: its job in Spark, on drops in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from spark_job import run_jobs

from perennial.config.clean_step import LIBRARIES
from perennial.config.dialect import Csv
from perennial.config.tables import ColumnContract
from perennial.fingerprints.fingerprint import library_versions
from stack.spark_archive import hadoop_catalog

JOB = """
import json, subprocess, sys
from pyspark import cloudpickle
from pyspark.sql import SparkSession
from perennial.clean import job as clean_job, step_worker
from perennial.clean.job_file import CleanJob
from perennial.errors import RefusedError

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
ELSEWHERE = '''
import sys
from pyspark import cloudpickle
import pyarrow as pa
assert not any("perennial" in path or path.endswith("include") for path in sys.path), sys.path
clean = cloudpickle.loads(sys.stdin.buffer.read())
print(clean(pa.table({"__file": ["a", "a"], "__position": [2, 1], "n": [20, 10]})).to_pydict())
'''
for job in json.load(open("jobs.json")):
    try:
        clean_job.clean(spark, CleanJob.from_json(job))
        said = {}
        for table in job["tables"]:
            rows = spark.table(f"ice.{job['database']}.{table['table']}")
            instants = [f"unix_micros({n}) AS {n}" if kind == "timestamp" else n for n, kind in rows.dtypes]
            ordered = rows.selectExpr(*instants).orderBy("n").collect()
            said = {"types": dict(rows.dtypes), "rows": [row.asDict() for row in ordered]}
    except RefusedError as error:
        said = str(error)
    print("SAID " + json.dumps(said, default=str))
task = step_worker.Task("sources/a.py", "def clean(df): return df.assign(m=df['n'].shift())", "UTC", {}, dated=False)
import pyarrow as pa
function = cloudpickle.dumps(step_worker.make_cleaner(task, ["n"], {"n": pa.int64(), "m": pa.int64()}))
done = subprocess.run([sys.executable, "-I", "-c", ELSEWHERE], input=function, capture_output=True)
print("SAID " + json.dumps([done.stdout.decode(), done.stderr.decode()]))
"""
DAYS = ("2013-11-02", "2013-11-03", "2013-11-04")
ZONE = "America/New_York"
COLUMNS = {"n": "integer", "price": "double", "name": "string", "seen": "timestamp", "is_new": "boolean"}
TEXT = """\
n,price,name,seen,is_new
2,2.5,b,2013-11-03T05:30:00Z,true
1,,a,2013-11-03T06:30:00Z,
"""
"""Two instants that the clock of New York shows alike: 01:30 before and after the end of summer time."""


def step_job(
    folder: Path,
    name: str,
    body: str,
    *,
    time_zone: str = ZONE,
    texts: Mapping[str, str] | None = None,
    libraries: Mapping[str, str] | None = None,
    max_quarantine_share: float = 0.0,
) -> dict[str, Any]:
    """Return a job of one table that is cleaned by a step with this body; `reference` as the only day means a reference."""
    days = {}
    for day, text in (texts or dict.fromkeys(DAYS, TEXT)).items():
        file = folder / f"{name}-{day}.csv"
        file.write_text(text)
        files = [{"uri": str(file), "name": "a.csv", "rows": text.count("\n") - 1, "line_end": "\n", "unclear": []}]
        days[day] = {"key": "key", "header": list(COLUMNS), "files": files, "refusal": str(folder / f"{name}-refusal")}
    source = f"import numpy as np\nimport pandas as pd\n\n\ndef clean(df):\n{body}"
    step = {"source": source, "libraries": libraries or library_versions(*LIBRARIES)}
    columns = [[column, ColumnContract.model_validate({"type": kind}).rules] for column, kind in COLUMNS.items()]
    table = {
        "name": "visits", "table": f"clean_{name}", "columns": columns, "key": ["n"], "sql": None, "step": step,
        "header": {name: name for name in COLUMNS}, "dialect": Csv().model_dump(),
        "max_quarantine_share": max_quarantine_share, "days": days, "held": [], "withdraw": [], "same": {},
    }  # fmt: skip
    return {"database": "lab", "time_zone": time_zone, "tables": [table]}


CLEAN = """
    df["row"] = range(len(df))
    df["hour"] = df["seen"].dt.hour
    df["kind"] = df["name"].str.upper().astype("category")
    df["size"] = np.where(df["price"].isna(), np.nan, 1.5)
    df["later"] = df["seen"] + pd.Timedelta(hours=1)
    return df.drop(columns=["name"]).sort_values("n")
"""
FAILS_ON_A_DATE = """
    limit = {"2013-11-03": 0, "2013-11-04": 0}.get(str(df["date"].min()), 1)
    df["n"] = df["n"] // (10 if limit else
                          int(limit) / 0)
    return df
"""
REFUSED = {
    "fails": FAILS_ON_A_DATE,
    "fails_without_rows": "    df['first'] = df['name'].iloc[0]\n    return df",
    "chance": "    return df.assign(price=np.random.default_rng().random(len(df)))",
    "other_dates": "    return df.assign(date=(df['date'] + pd.Timedelta(days=1)).astype('date32[pyarrow]'))",
    "no_date": "    return df.drop(columns='date')",
    "reserved": "    return df.assign(_deleted=df['is_new'])",
    "untyped": "    return df.assign(note=None)",
    "no_zone": "    return df.assign(seen=df['seen'].dt.tz_localize(None))",
    "no_frame": "    return df['n']",
    "another_type": "    return df.assign(name=df['n'] if len(df) else df['name'])",
    "another_column": "    return df.assign(**{f'c{len(df)}': 1})",
    "unsigned": "    return df.assign(n=df['n'].astype('uint32[pyarrow]'))",
    "doubled": "    return pd.concat([df, df['n']], axis=1)",
    "stops": "    import sys\n    sys.exit('enough')",
}
KEEPS_STATE = """
    COUNT.append(len(df))
    return df.assign(n=df["n"] * len(COUNT))


COUNT = []
"""
NULLS = "n,price,name,seen,is_new\n1,,,,\n"
BROKEN = "n,price,name,seen,is_new\nx,,,,\n"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of many jobs of one Spark, by name: the table's types and rows, or the refusal."""
    folder = tmp_path_factory.mktemp("step")
    jobs = {
        "new_york": step_job(folder, "new_york", CLEAN),
        "utc": step_job(folder, "utc", CLEAN, time_zone="UTC"),
        "state": step_job(folder, "state", KEEPS_STATE),
        "reference": step_job(folder, "reference", "    return df[['n', 'name']]", texts={"reference": TEXT}),
        "nulls": step_job(folder, "nulls", CLEAN, texts={DAYS[0]: NULLS}),
        "no_rows": step_job(folder, "no_rows", CLEAN, texts={DAYS[0]: BROKEN}, max_quarantine_share=1.0),
        "libraries": step_job(folder, "libraries", CLEAN, libraries={"pandas": "1.0", "nonesuch": "2.0"}),
        **{name: step_job(folder, name, body) for name, body in REFUSED.items()},
    }
    (folder / "jobs.json").write_text(json.dumps(list(jobs.values())))
    return dict(zip([*jobs, "elsewhere"], run_jobs(folder, JOB, hadoop_catalog(folder)), strict=True))


@pytest.mark.parametrize(("name", "hours"), [("new_york", (1, 1)), ("utc", (5, 6))])
def test_the_result_has_its_own_columns_and_types_and_times_keep_their_instants(
    said: dict[str, Any], name: str, hours: tuple[int, int]
) -> None:
    result = said[name]
    assert result["types"] == {
        "date": "date", "n": "bigint", "price": "double", "seen": "timestamp", "is_new": "boolean", "row": "bigint",
        "hour": "bigint", "kind": "string", "size": "double", "later": "timestamp",
    }  # fmt: skip
    before, after = 1_383_456_600_000_000, 1_383_460_200_000_000
    rows = [row for row in result["rows"] if row["date"] == DAYS[1]]
    assert rows == [
        {
            "date": DAYS[1],
            "n": 1,
            "price": None,
            "seen": after,
            "is_new": None,
            "row": 1,
            "hour": hours[1],
            "kind": "A",
            "size": None,
        }
        | {"later": after + 3_600_000_000},
        {
            "date": DAYS[1],
            "n": 2,
            "price": 2.5,
            "seen": before,
            "is_new": True,
            "row": 0,
            "hour": hours[0],
            "kind": "B",
            "size": 1.5,
        }
        | {"later": after},
    ], "rows come in the order of the file"
    assert len(result["rows"]) == 2 * len(DAYS)


def test_nothing_of_one_date_reaches_another(said: dict[str, Any]) -> None:
    assert [row["n"] for row in said["state"]["rows"]] == [1, 1, 1, 2, 2, 2]


def test_a_reference_is_cleaned_too(said: dict[str, Any]) -> None:
    assert said["reference"] == {
        "types": {"n": "bigint", "name": "string"},
        "rows": [{"n": 1, "name": "a"}, {"n": 2, "name": "b"}],
    }


def test_columns_and_types_do_not_depend_on_the_rows(said: dict[str, Any]) -> None:
    assert said["nulls"]["types"] == said["no_rows"]["types"] == said["utc"]["types"]
    assert said["no_rows"]["rows"] == []
    assert [row["seen"] for row in said["nulls"]["rows"]] == [None]


def test_an_error_begins_with_file_and_line_and_lists_all_dates(said: dict[str, Any]) -> None:
    assert said["fails"].splitlines() == [
        "sources/visits.py fails on several dates: 2 problems",
        *(
            f"  - sources/visits.py, line 9: ZeroDivisionError: division by zero, in `int(limit) / 0)`, on the rows of {day}"
            for day in DAYS[1:]
        ),
        "Change the file so that it handles such rows.",
    ]
    assert said["fails_without_rows"].startswith(
        "sources/visits.py, line 6: IndexError: single positional indexer is out-of-bounds, "
        "in `df['first'] = df['name'].iloc[0]`, on a DataFrame without rows"
    )
    assert said["stops"].startswith("sources/visits.py, line 7: SystemExit: enough, in `sys.exit('enough')`")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chance", "the result for 2013-11-03 depends on the other dates in its batch"),
        (
            "other_dates",
            " fails on several dates: 3 problems\n  - sources/visits.py: it returns rows of other dates on 2013-11-02",
        ),
        ("no_date", "expected a column date of type date, found none. Return the column date of df unchanged."),
        ("reserved", "column '_deleted' is reserved by Iceberg: Spark could not read the table"),
        ("untyped", "column 'note' has no type without rows. End with df['note'].astype('string[pyarrow]')"),
        ("no_zone", "column 'seen' has times without a time zone. Name its zone: df['seen'].dt.tz_localize('America/New_York')."),
        ("no_frame", "clean returned Series, expected a DataFrame"),
        ("another_type", "column 'name': expected string, as without rows; is of type int64 on 2013-11-02"),
        ("another_column", "its columns depend on its rows: date, n, price, name, seen, is_new, c2 on 2013-11-02, but date"),
        ("unsigned", "column 'n' is of type uint32, which no table can hold"),
        ("doubled", "its result has columns ['n', 'n']"),
        ("libraries", " needs other libraries than Spark's Python has: expected nonesuch 2.0 (found none), pandas 1.0"),
    ],
)
def test_a_result_that_no_table_can_hold_is_refused(said: dict[str, Any], name: str, text: str) -> None:
    assert said[name].startswith("sources/visits.py")
    assert text in said[name]


def test_workers_on_machines_without_this_package_can_run_a_step(said: dict[str, Any]) -> None:
    output, errors = said["elsewhere"]
    assert output.strip() == "{'n': [10, 20], 'm': [None, 10], '__problem': [None, None]}", errors
