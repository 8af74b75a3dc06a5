"""
The cost of a row in the jobs of a big date: CPU microseconds of collect, clean, analyse and score, beside a plain Spark job.

It makes up flights of one date, and runs the demo's own jobs on tables in a folder, so no stack is needed.
The cost of a row is marginal: that of ROWS rows less that of a third of them. What every job costs cancels out.
A day of a thousand rows is measured too, with this version and, given its checkout, with an earlier one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from made_up_flights import DAY, flights, planes, weather
from measuring import additions
from pyarrow import csv as arrow_csv
from rich.console import Console
from scale_score import MadeUpRelease

from perennial.analyse.job_file import AnalyseJob, CleanTable, ProfileToMake
from perennial.analyse.query_items import analysis_query, features_query, lookup_query
from perennial.clean import plan
from perennial.clean.job_file import CleanJob, DropToClean, FileToClean, TableToClean
from perennial.collect.content import read_content
from perennial.config.load import load_pipeline
from perennial.config.pipeline import Pipeline
from perennial.fingerprints.code import digests_of_job
from perennial.lake.days import REFERENCE
from perennial.settings import var_folder
from perennial.spark.conf import iceberg_conf
from perennial.spark.job_file import FORMAT
from perennial.spark.size import size_conf
from perennial.spark.submit import SPARK_VERSION, application
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json
from stack.config import REPO
from stack.spark_archive import hadoop_catalog

DATABASE = "bench"
SUBMIT = Path(".spark", "bin", "perennial-spark-submit")
MIN_BIG, SMALL = 500_001, 1000
TARGETS = {
    "collect_us_per_row": 0.4,
    "clean_us_per_row": 20.0,
    "analyse_us_per_row": 40.0,
    "score_us_per_row": 8.0,
    "score_with_commit_us_per_row": 15.0,
    "wall_two_cores_by_one": 0.6,
}
PLAIN = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
rows = spark.read.csv(sys.argv[1], header=True, inferSchema=False)
kinds = {"integer": "bigint", "double": "double", "timestamp": "timestamp"}
typed = [f"try_cast(`{n}` AS {kinds[k]}) AS `{n}`" if k in kinds else f"`{n}`" for n, k in (w.split(":") for w in sys.argv[3:])]
key = ["carrier", "flight", "origin", "sched_dep_time"]
rows.selectExpr(*typed).dropDuplicates(key).write.parquet(sys.argv[2])
"""


def main() -> int:
    """Measure both sizes; the exit code says whether a row costs no more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 1], help="the first ones are compared with the second ones")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version, whose small day is measured too")
    arguments = parser.parse_args()
    console, folder = Console(highlight=False, soft_wrap=True), var_folder() / "bench" / "scale"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        report = measure(folder, arguments.rows, arguments.cores, console) | measure_small_day(folder, arguments.before, console)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results = var_folder() / "bench" / "scale.json"
    report["load"] = os.getloadavg()[0]
    known = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    results.write_text(json.dumps(known | report, indent=2) + "\n", encoding="utf-8")
    missed = [f"{name} {report[name]}, at most {most}" for name, most in TARGETS.items() if report[name] > most]
    console.print(f"TARGET MISSED: {', '.join(missed)}. {results}" if missed else f"Targets met. {results}")
    return 1 if missed else 0


def measure(folder: Path, rows: int, cores: Sequence[int], console: Console) -> dict[str, Any]:
    """Return the costs of a row, and how much sooner the first number of cores is done than the second."""
    pipeline, found = load_pipeline("flight_delays"), {}
    for count in (rows // 3, rows):
        found[count] = {}
        for name, cost in run_jobs(folder / str(count), pipeline, count, cores):
            found[count][name] = cost
            console.print(f"{count:,} rows, {name}: {cost}")
    few, many = found[rows // 3], found[rows]

    def marginal(name: str) -> float:
        return round((many[name]["cpu"] - few[name]["cpu"]) / (rows - rows // 3) * 1e6, 1)

    return {
        "rows": rows,
        "additions": additions(),
        "collect_us_per_row": round(many["collect"]["cpu"] / rows * 1e6, 2),
        **{f"{name}_us_per_row": marginal(name) for name in ("clean", "analyse", "plain_spark", "score_with_commit")},
        "score_us_per_row": many["score"]["cpu_us_per_row"],
        "wall_two_cores_by_one": round(many["clean"]["wall"] / many["clean, other cores"]["wall"], 2),
    }


def measure_small_day(folder: Path, before: Path | None, console: Console) -> dict[str, Any]:
    """Return the CPU seconds of clean and analyse of a small day, before and after, each twice in turn."""
    pipeline = load_pipeline("flight_delays")
    costs: dict[str, list[float]] = {}
    for turn in range(2):
        for name, checkout in (("before", before), ("after", REPO)):
            if checkout is None:
                continue
            place = folder / f"small-{name}-{turn}"
            tables, _ = land(place, pipeline, SMALL)
            tables = [replace(table, big=[]) for table in tables]
            clean = CleanJob(DATABASE, pipeline.time_zone, tables).to_json()
            analyse = replace(analyse_job(pipeline), is_big=False).to_json()
            spent = [submit(place, kind, job, SMALL, 2, checkout) for kind, job in (("clean", clean), ("analyse", analyse))]
            console.print(f"A day of {SMALL:,} rows, {name}: {spent}")
            costs.setdefault(name, []).append(round(sum(each["cpu"] for each in spent), 1))
    return {"small_day_cpu_seconds_before_and_after": [costs.get("before"), costs["after"]]}


def land(folder: Path, pipeline: Pipeline, rows: int) -> tuple[list[TableToClean], float]:
    """Write made-up drops and read them as collect does; return the tables to clean, and the CPU seconds of the flights."""
    folder.mkdir(parents=True)
    drops = {"flights": flights(rows), "weather": weather(), "planes": planes()}
    tables, cpu = [], 0.0
    for name, drop in drops.items():
        path = folder / f"{name}.csv"
        arrow_csv.write_csv(drop, path, arrow_csv.WriteOptions(quoting_style="none"))
        began = time.process_time()
        tables.append(table_to_clean(pipeline, name, path, folder))
        if name == "flights":
            cpu = time.process_time() - began
    return tables, cpu


def run_jobs(folder: Path, pipeline: Pipeline, rows: int, cores: Sequence[int]) -> list[tuple[str, dict[str, float]]]:
    """Run collect's reading, clean, analyse and the plain job on made-up drops; return the cost of each."""
    tables, cpu = land(folder, pipeline, rows)
    costs = [("collect", {"cpu": round(cpu, 2)})]
    clean = CleanJob(DATABASE, pipeline.time_zone, tables).to_json()
    first, *others = cores
    for other in others:  # its tables are removed: both runs do the same
        costs.append(("clean, other cores", submit(folder, "clean", clean, rows, other)))
        shutil.rmtree(folder / "warehouse")
    costs.append(("clean", submit(folder, "clean", clean, rows, first)))
    costs.append(("analyse", submit(folder, "analyse", analyse_job(pipeline).to_json(), rows, first)))
    release = MadeUpRelease(folder, folder / "warehouse" / DATABASE, pipeline, DAY)
    costs.append(("score", {"cpu_us_per_row": round(release.score_alone(), 1)}))
    costs.append(("score_with_commit", submit(folder, "score", release.job(DATABASE).to_json(), rows, first)))
    (folder / "plain.py").write_text(PLAIN)
    kinds = [f"{name}:{contract.type}" for name, contract in pipeline.tables["flights"].columns.items()]
    words = [str(folder / "plain.py"), str(folder / "flights.csv"), str(folder / "plain"), *kinds]
    costs.append(
        (
            "plain_spark",
            spend([str(REPO / SUBMIT), "--conf", f"spark.master=local[{first}]", *size_words(rows), *words], folder, first),
        )
    )
    return costs


def table_to_clean(pipeline: Pipeline, name: str, path: Path, folder: Path) -> TableToClean:
    """Return a table with its drop, read as collect reads it."""
    spec, day = pipeline.tables[name], REFERENCE if name in pipeline.references else DAY.isoformat()
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(1 << 20), b"")
        content = read_content(chunks, compressed=False, max_bytes=2**40, dialect=spec.csv)
    if content.problems:
        raise SystemExit("\n".join(content.problems))
    file_to_clean = FileToClean(path.name, path.as_uri(), content.rows, content.line_end, content.unclear, content.by_lines)
    drop = DropToClean("key", (folder / "refused.json").as_uri(), content.columns, [file_to_clean])
    return replace(plan.table_to_clean(pipeline, name, {day: drop}), big=[day] if name == "flights" else [])


def analyse_job(pipeline: Pipeline) -> AnalyseJob:
    """Return the job of a run of the date: its features, profile and analyses, and the lookups of the next midnight."""
    days, midnights = ({day.isoformat(): "key"} for day in (DAY, DAY + timedelta(days=1)))
    lookups = [lookup_query(pipeline, name, (days | midnights, {})) for name in pipeline.inputs.lookups]
    features = features_query(pipeline, (days, {}), {name: days for name in pipeline.inputs.lookups})
    return AnalyseJob(
        database=DATABASE,
        time_zone=pipeline.time_zone,
        lookback_days=pipeline.training.lookback_days,
        tables={name: CleanTable(f"clean_{name}", None, name in pipeline.sources) for name in pipeline.tables},
        lookups=lookups,
        features=[features],
        labels=[],
        analysis=[analysis_query(pipeline, name, (days, {})) for name in pipeline.sql_files("analysis")],
        profile=[ProfileToMake("profile", "the profile", days, {}, sources=list(pipeline.sources))],
        withdraw={},
        is_big=True,
    )


def submit(folder: Path, kind: str, job: Json, rows: int, cores: int, checkout: Path = REPO) -> dict[str, float]:
    """Run a job as the product submits it, over tables in a folder, and return its CPU and wall seconds."""
    head = {"format": FORMAT, "kind": kind, "pipeline": "flight_delays", "spark": SPARK_VERSION, "cost": None}
    content = {**head, "code": digests_of_job(kind), **dict(job)}
    body = canonical_json(content)
    path = folder / f"{sha256(body)}.json"
    path.write_bytes(body)
    rules = {
        name: value
        for name, value in iceberg_conf("thrift://127.0.0.1:1", "s3://lake", None).items()
        if name.startswith("spark.sql.") and not any(word in name for word in ("catalog", "warehouse", "extensions"))
    }
    words = [word for name, value in rules.items() for word in ("--conf", f"{name}={value}")]
    if rows <= SMALL:
        words += ["--conf", "spark.sql.codegen.factoryMode=NO_CODEGEN"]
    program, script = checkout / SUBMIT, checkout / Path(application(kind)).relative_to(REPO)
    command = [str(program), *hadoop_catalog(folder), *words, *size_words(rows), "--conf", f"spark.master=local[{cores}]"]
    return spend([*command, str(script), path.as_uri()], folder, cores)


@contextmanager
def bound_to(cores: int) -> Iterator[None]:
    """Bind this process and what it starts to some cores: compilers and garbage collection of one task would use a second."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def size_words(rows: int) -> list[str]:
    """Return the settings that the plan of a job of this size has; all but the small day are measured as a big job is."""
    return [
        word
        for name, value in size_conf(rows if rows <= SMALL else max(rows, MIN_BIG)).items()
        for word in ("--conf", f"{name}={value}")
    ]


def spend(command: Sequence[str], folder: Path, cores: int) -> dict[str, float]:
    """Run a program on some cores and return the CPU seconds of all its processes, and the wall seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {"PERENNIAL_VAR": str(folder), "PATH": os.environ["PATH"]}
    with bound_to(cores):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[-2]} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": round(cpu, 1), "wall": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    sys.exit(main())
