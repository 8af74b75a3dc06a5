"""A date of many rows: its tasks share the rows, and what comes of it is what comes of a small date."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from spark_job import run_divided

from perennial.collect.content import read_content
from perennial.config.dialect import Csv
from perennial.config.tables import ColumnContract
from perennial.lake.days import REFERENCE

JOB = """
import json, sys
from pyspark.sql import SparkSession
from perennial.clean import job as clean_job
from perennial.clean.job_file import CleanJob

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
commit, kept, tasks, cached = clean_job.commit, {}, {}, {}


def watched(rows, name, **facts):
    kept.update({day: [made.digest, made.rows, made.quarantined] for day, made in (facts.get("partitions") or {}).items()})
    table = name.rpartition(".")[2].strip("`")
    tasks[table], cached[table] = rows.rdd.getNumPartitions(), rows.storageLevel.useMemory
    commit(rows, name, **facts)


refused = {}
clean_job.commit = watched
clean_job.write_text = lambda spark, uri, text: refused.update({uri: json.loads(text)})
with open(sys.argv[1]) as jobs:
    for job in map(json.loads, jobs):
        for found in (kept, refused, tasks, cached):
            found.clear()
        clean_job.clean(spark, CleanJob.from_json(job))
        name, broken = f"ice.{job['database']}.quarantine", []
        if spark.catalog.tableExists(name):
            broken = sorted(json.dumps(row.asDict(), default=str, sort_keys=True) for row in spark.table(name).collect())
        said = {"kept": kept, "refused": refused, "broken": broken, "tasks": tasks, "cached": cached}
        print("SAID " + json.dumps(said))
"""
DRAWS, DAYS = 7, ("2026-03-01", "2026-03-02", "2026-03-03")
SHAPES = (
    None,
    "SELECT date, id, word, x * 2 AS x2, at FROM drop WHERE x IS NOT NULL",
    "SELECT date, id, x, COUNT(*) OVER (PARTITION BY date, word) AS n FROM drop",
    "SELECT date, word, COUNT(*) AS n, SUM(id) AS ids FROM drop GROUP BY date, word",
)
CONTRACT = {
    "id": {"type": "integer", "required": True, "range": [0, 400]},
    "word": {"type": "string", "max_length": 14},
    "kind": {"type": "string", "enum": ["a", "b", "c"], "null_text": "-"},
    "x": {"type": "double", "null_text": "NA"},
    "at": {"type": "timestamp"},
    "day": {"type": "date", "format": "dd.MM.yyyy"},
}
WORDS = ("one", "two", 'say "hi"', "a, b", "three four", "é", "longer than the rule", " ", "x\\y")


def draw_row(rng: random.Random, dialect: Csv, number: int, breaks: bool) -> str:
    word = rng.choice(WORDS) + (rng.choice(("", "\n", "\r", "\r\n")) if breaks and rng.random() < 0.3 else "")
    cells = [
        str(rng.choice((number, number, number, rng.randrange(40), 999, "x") if rng.random() < 0.2 else (number,))),
        word,
        rng.choice("abc-" if rng.random() < 0.97 else "z"),
        rng.choice(("NA", "", "1e3", "-0.0", "NaN" if rng.random() < 0.1 else "7", f"{rng.random():.3f}")),
        f"2026-03-01T0{rng.randrange(10)}:00:00Z",
        f"{rng.randrange(1, 29):02}.02.2026",
    ]
    if rng.random() < 0.03:
        cells.append("more")
    escape = dialect.escape or '"'
    special = (",", '"', "\n", "\r", *(["\\"] if dialect.escape and rng.random() < 0.8 else []))
    return ",".join(
        '"' + cell.replace("\\", "\\\\" if dialect.escape else "\\").replace('"', escape + '"') + '"'
        if any(sign in cell for sign in special)
        else cell
        for cell in cells
    )


def draw_file(rng: random.Random, dialect: Csv, path: Path, first: int, rows: int) -> dict[str, Any]:
    end, breaks = rng.choice(("\n", "\r\n")), rng.random() < 0.3
    lines = [",".join(CONTRACT), *(draw_row(rng, dialect, first + at, breaks) for at in range(rows))]
    body = (end.join(lines) + rng.choice(("", end, end + end))).encode()
    compressed = rng.random() < 0.15
    path = path.with_suffix(".csv.gz" if compressed else ".csv")
    path.write_bytes(gzip.compress(body) if compressed else body)
    content = read_content([path.read_bytes()], compressed=compressed, max_bytes=2**30, dialect=dialect)
    assert content.problems == []
    facts = {"rows": content.rows, "line_end": content.line_end, "unclear": content.unclear, "by_lines": content.by_lines}
    return {"uri": str(path), "name": f"{rng.randrange(10**6):06}-{path.name}", **facts}


def draw_job(seed: int, folder: Path) -> dict[str, Any]:
    """Return a job of three dates, or of a reference, of one to five files each; some dates break the contract too often."""
    rng = random.Random(seed)
    dialect = Csv(escape="\\") if seed % 4 == 3 else Csv()
    days: dict[str, Any] = {}
    for day in [REFERENCE] if seed % 5 == 4 else DAYS:
        size, files = rng.choice((3, 30, 80)), []
        for number in range(rng.randint(1, 5)):
            rows = rng.randrange(1, 2 + size)
            first = sum(file["rows"] for file in files)
            files.append(draw_file(rng, dialect, folder / f"{seed}-{day}-{number}", first, rows))
        days[day] = {"key": "key", "refusal": day, "header": list(CONTRACT), "files": files}
    sql = None if REFERENCE in days else SHAPES[seed % len(SHAPES)]
    table = {
        "name": "things", "table": "clean_things", "key": ["id"], "header": {name: name for name in CONTRACT},
        "columns": [[name, ColumnContract.model_validate(spec).rules] for name, spec in CONTRACT.items()],
        "dialect": dialect.model_dump(), "max_quarantine_share": rng.choice((0.3, 0.6, 0.9)), "sql": sql,
        "days": days, "held": [], "withdraw": [], "same": {}, "big": [],
    }  # fmt: skip
    return {"database": f"small{seed}", "time_zone": "UTC", "tables": [table]}


def divided(job: dict[str, Any], days: list[str]) -> dict[str, Any]:
    """Return the job with days that many tasks share."""
    return job | {"database": job["database"].replace("small", "big"), "tables": [job["tables"][0] | {"big": days}]}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The results of each drawn job, in the small way and in the big way."""
    folder = tmp_path_factory.mktemp("big")
    jobs = []
    for seed in range(DRAWS):
        job = draw_job(seed, folder)
        days = job["tables"][0]["days"]
        jobs += [job, divided(job, list(days) if seed % 2 else sorted(days)[-2:])]
    return run_divided(folder, JOB, jobs, split_bytes=2000)


def test_a_big_date_has_the_results_of_a_small_one(said: list[Any]) -> None:
    assert len(said) == 2 * DRAWS
    for small, big in zip(said[::2], said[1::2], strict=True):
        assert big["kept"] == small["kept"]
        assert big["refused"] == small["refused"]
        assert big["broken"] == small["broken"]


def test_the_drawn_dates_have_all_that_can_be_different(said: list[Any]) -> None:
    """Otherwise the test above shows nothing."""
    rules = {json.loads(row)["rule"] for found in said for row in found["broken"]}
    assert {"cells", "type", "range", "enum", "max_length", "duplicate_key"} <= rules
    assert sum(len(found["refused"]) for found in said[1::2]) >= 1
    assert sum(len(found["kept"]) for found in said[1::2]) >= 12
    assert max(found["tasks"].get("clean_things", 0) for found in said[1::2]) >= 3


def test_rows_that_a_projection_makes_are_not_kept_beside_those_of_the_drop(said: list[Any]) -> None:
    """Others are: two passes over a window or a grouping could give different rows."""
    cached = [found["cached"]["clean_things"] for found in said[1::2]]
    assert cached[1:4] == [False, True, True]
