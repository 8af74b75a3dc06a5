"""
What does history cost? Backfills of flight_delays over 2013 by `perennial backfill`, and ten dates the naive way beside them.

Each part has a stack of its own, so that no part finds results of another.
Run `python tests/bench/history.py`, or `make bench-history`; the results are in var/bench/history.json.
CPU seconds are those of all processes of the stack and of everything that they started, from the start of a backfill to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import yaml
from measuring import adopt_orphans, cpu_seconds, descendants, run, timed
from own_stack import STACK, own_stack
from rich.console import Console
from rich.table import Table

from perennial.backfill.airflow_access import open_airflow
from perennial.backfill.airflow_client import AirflowClient
from perennial.calendar import days, midnight
from perennial.config.load import FILE, load_pipeline
from perennial.demo.feed import feed
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake, open_lake
from perennial.settings import var_folder
from perennial.spark.submit import SPARK_VERSION
from perennial.train.plan import plan_training
from perennial.train.trainings import read_model
from stack.config import REPO

PIPELINE = "flight_delays"
DAG = f"retrain_{PIPELINE}"
CANDIDATE = "mlp"
OFFSET = 1400
WARM = date(2013, 2, 12)
TEN = (date(2013, 2, 13), date(2013, 2, 22))
SIXTY = (date(2013, 2, 13), date(2013, 4, 13))
YEAR = (date(2013, 1, 1), date(2013, 12, 31))
IDLE_SECONDS = 60
MAX_SECONDS = 3 * 3600
EMPTY, EMPTY_TASKS, RUNS = "empty", 8, 6
NAIVE_STACK, EMPTY_STACK = "naive_stack.py", "empty_stack.py"
PARTS = ("start", "tasks", "ten", "sixty", "year")
TASK_TARGETS = ("noop_task_seconds", "noop_task_cpu_seconds", "unchanged_over_empty", "parse_100_cpu_seconds")
PARSE = f"""
import time
import airflow.providers.apache.spark.operators.spark_submit, airflow.sdk
import perennial_airflow.doc, perennial_airflow.params, perennial_airflow.timetable
import perennial_airflow.operators.plan_run, perennial_airflow.operators.spark_stage, perennial_airflow.operators.wait_for_drop
from airflow.dag_processing.dagbag import DagBag
began = time.process_time()
DagBag("{REPO / "dags"}")
print(time.process_time() - began)
"""
TARGETS = {
    "start_cpu_seconds": 15,
    "start_processes_beside_postgres": 15,
    "idle_share_of_a_core": 0.10,
    "noop_task_seconds": 0.35,
    "noop_task_cpu_seconds": 0.32,
    "unchanged_over_empty": 2,
    "parse_100_cpu_seconds": 1,
    "dates_60_wall": 180,
    "year_wall": 900,
    "year_unchanged_wall": 300,
    "naive_over_ours": 10,
}


def main() -> int:
    """Run the parts that are asked for, show and write what they found; 1 when a target of theirs is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    wanted = parser.parse_args().only
    console = Console(highlight=False, soft_wrap=True)
    folder = var_folder().resolve() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    adopt_orphans()
    file = folder / "history.json"
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    measure = {"start": start, "tasks": tasks, "ten": ten, "sixty": sixty, "year": year}
    for part in wanted:
        results |= measure[part](folder, console)
        results["run"] = facts()
        file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    missed = show(results, console)
    console.print(f"{'Targets met' if not missed else 'TARGETS MISSED: ' + ', '.join(missed)}. {file}")
    return 1 if missed else 0


def start(folder: Path, console: Console) -> dict[str, Any]:
    """Measure a start of the stack whose databases are there, and an idle minute of it."""
    with landed(folder, console, first=WARM, last=WARM):
        run([*STACK, "down"])
        before = cpu_seconds()
        run([*STACK, "up"])
        started = cpu_seconds() - before
        running = [process.name() for process in descendants()]
        time.sleep(20)  # heartbeats and the first parse are over
        before = cpu_seconds()
        time.sleep(IDLE_SECONDS)
        idle = (cpu_seconds() - before) / IDLE_SECONDS
    found = {"cpu_seconds": round(started, 1), "processes": len(running), "idle_share_of_a_core": round(idle, 3)}
    return {"start": {**found, "processes_of_postgres": running.count("postgres")}}


def tasks(folder: Path, console: Console) -> dict[str, Any]:
    """
    Measure an empty task of a warm stack, a run of an unchanged date, and the parse of 100 pipelines.

    The run of the unchanged date is compared with a run of empty tasks.
    """
    with landed(folder, console, first=date(2013, 1, 1), last=WARM, program=EMPTY_STACK):
        with open_airflow() as airflow:
            for dag in (DAG, EMPTY):
                airflow.wait_for_dag(dag)
                airflow.unpause(dag)
                run_once(airflow, dag)  # the date is made now; both have run once
                run_once(airflow, dag)
            empty = timed(lambda: [run_once(airflow, EMPTY) for _ in range(RUNS)], EMPTY, console)
            unchanged = timed(lambda: [run_once(airflow, DAG) for _ in range(RUNS)], "unchanged", console)
            walls = {dag: mean(run_seconds(airflow, dag)[:RUNS]) for dag in (DAG, EMPTY)}
    return {
        "noop_task_seconds": round(walls[EMPTY] / EMPTY_TASKS, 2),
        "noop_task_cpu_seconds": round(empty["cpu"] / RUNS / EMPTY_TASKS, 2),
        "unchanged_date": {"wall": round(walls[DAG], 2), "cpu": round(unchanged["cpu"] / RUNS, 2)},
        "unchanged_over_empty": round(walls[DAG] / walls[EMPTY], 2),
        "parse_100_cpu_seconds": parse_a_hundred(folder / "hundred"),
    }


def run_once(airflow: AirflowClient, dag: str) -> None:
    """Run a DAG once, and see that it succeeds."""
    run_id = airflow.trigger(dag, {"date": WARM.isoformat()} if dag == DAG else {})
    state, _ = airflow.wait(dag, run_id, 900)
    if state != "success":
        raise SystemExit(f"Run {run_id} of {dag} is {state}. See {airflow.run_url(dag, run_id)}")


def run_seconds(airflow: AirflowClient, dag: str) -> list[float]:
    """Return what the runs took by Airflow's own clock, the newest first."""
    ends = [(run["start_date"], run["end_date"]) for run in airflow.runs(dag)]
    return [(datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() for start, end in ends]


def parse_a_hundred(folder: Path) -> float:
    """Return the CPU seconds that Airflow takes to parse our DAGs with a hundred pipelines, beyond what one takes."""
    shutil.rmtree(folder, ignore_errors=True)
    for index in range(100):
        name = f"{PIPELINE}_{index}"
        shutil.copytree(REPO / "include/pipelines" / PIPELINE, folder / "100" / name)
        file = folder / "100" / name / FILE
        file.write_text(file.read_text(encoding="utf-8").replace(f"name: {PIPELINE}", f"name: {name}"), encoding="utf-8")
    (folder / "1").mkdir()
    shutil.copytree(folder / "100" / f"{PIPELINE}_0", folder / "1" / f"{PIPELINE}_0")
    took = {count: float(said_by(PARSE, folder / count)) for count in ("1", "100")}
    shutil.rmtree(folder)
    return round(took["100"] - took["1"], 2)


def said_by(program: str, pipelines: Path) -> str:
    """Return the last line that a Python program says, with Airflow in a folder of its own."""
    environment = {
        **os.environ,
        "PERENNIAL_PIPELINES": str(pipelines),
        "AIRFLOW_HOME": str(pipelines / ".airflow"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
        "PYTHONPATH": f"{REPO / 'include'}:{REPO / 'plugins'}",
    }
    return run([sys.executable, "-c", program], env=environment).splitlines()[-1]


def ten(folder: Path, console: Console) -> dict[str, Any]:
    """Measure ten dates in our way and in the naive one, each after the date before them, and compare what they left."""
    found: dict[str, Any] = {}
    left = {}
    for name, is_naive in (("ours_10", False), ("naive_10", True)):
        with landed(folder, console, first=date(2013, 1, 1), last=TEN[1], program=NAIVE_STACK if is_naive else "") as lake:
            run_dates(WARM, WARM, is_naive=False)
            found[name] = timed(lambda: run_dates(*TEN, is_naive=is_naive), name, console)  # noqa: B023
            left[name] = digests(lake, *TEN)
    return {**found, "equal_digests": left["ours_10"] == left["naive_10"]}


def sixty(folder: Path, console: Console) -> dict[str, Any]:
    """Measure sixty dates, one batch."""
    with landed(folder, console, first=date(2013, 1, 1), last=SIXTY[1]):
        return {"dates_60": timed(lambda: run_dates(*SIXTY, is_naive=False), "dates_60", console)}


def year(folder: Path, console: Console) -> dict[str, Any]:
    """Measure the whole of 2013, and once more, when nothing has changed."""
    with landed(folder, console, first=YEAR[0], last=YEAR[1]) as lake:
        first = timed(lambda: run_dates(*YEAR, is_naive=False), "year", console)
        stood = sorted(lake.objects.list(lake.layout.root + "/"))
        again = timed(lambda: run_dates(*YEAR, is_naive=False), "year_unchanged", console)
        writes = len(set(lake.objects.list(lake.layout.root + "/")) - set(stood))
    dates = (YEAR[1] - YEAR[0]).days + 1
    return {"year": {**first, "dates": dates}, "year_unchanged": {**again, "dates": dates, "objects_written": writes}}


@contextmanager
def landed(folder: Path, console: Console, *, first: date, last: date, program: str = "") -> Iterator[Lake]:
    """
    Start a stack that holds only the landed dates and one candidate to train.

    :param program: file beside this one that starts the stack, instead of the stack's own command
    """
    place = folder / "history-stack"
    shutil.rmtree(place, ignore_errors=True)
    write_pipeline(place / "pipelines" / PIPELINE)
    up = [sys.executable, str(Path(__file__).with_name(program)), "up"] if program else [*STACK, "up"]
    console.print(f"Starting {program or 'a stack'} and landing {first} to {last}")
    with own_stack(place, OFFSET, up=up, run=run, PERENNIAL_PIPELINES=str(place / "pipelines")):
        lake = open_lake(load_pipeline(PIPELINE))
        feed(lake, first, last)
        yield lake


def write_pipeline(folder: Path) -> None:
    """Copy the demo's pipeline, with one candidate."""
    shutil.copytree(REPO / "include/pipelines" / PIPELINE, folder)
    document = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    document["training"]["candidates"] = [CANDIDATE]
    (folder / FILE).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def run_dates(first: date, last: date, *, is_naive: bool) -> None:
    """Backfill a range; the naive way every date does all of its own work, cold."""
    if not is_naive:
        program = [str(Path(sys.executable).with_name("perennial")), "backfill", PIPELINE, "--json"]
        run([*program, "--from", str(first), "--to", str(last)], MAX_SECONDS)
        return
    zone = load_pipeline(PIPELINE).calendar.time_zone
    with open_airflow() as airflow:
        begin, end = midnight(first, zone), midnight(last, zone)
        one = airflow.backfill(DAG, begin, end, {}, reprocess="completed")
        deadline = time.monotonic() + MAX_SECONDS
        while not airflow.backfill_is_done(one):
            if time.monotonic() > deadline:
                raise SystemExit(f"The naive backfill has not ended after {MAX_SECONDS} s.")
            time.sleep(1)
        if failed := airflow.count_runs(DAG, begin, end, "failed"):
            raise SystemExit(f"{failed} naive runs failed.")


def digests(lake: Lake, first: date, last: date) -> dict[str, Any]:
    """Return the digests of every table partition of these dates, of their models' weights, and their decisions."""
    pipeline, wanted = lake.pipeline, [d.isoformat() for d in days(first, last)]
    tables = [f"clean_{name}" for name in pipeline.tables] + [f"lookup_{name}" for name in pipeline.inputs.lookups]
    tables += ["features", "profile", *(f"analysis_{name}" for name in pipeline.sql_files("analysis"))]
    found: dict[str, Any] = {}
    for table in tables:
        partitions = lake.tables.state(table).partitions
        found[table] = {day: partitions[day].digest for day in wanted if day in partitions}
    plans = {d.isoformat(): plan_training(lake, d, CANDIDATE) for d in days(first, last)}
    found["weights"] = {
        day: read_model(lake, plan.manifest_uri or "")["files"]["weights.safetensors"]["sha256"] for day, plan in plans.items()
    }
    entries = read_chain(lake).entries
    found["decisions"] = {day: entries[day].uri.rpartition("/")[2] for day in wanted}
    return found


def facts() -> dict[str, Any]:
    """Say where and when it was measured."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("apache-airflow", "keras", "tensorflow")} | {"spark": SPARK_VERSION},
    }


def show(results: dict[str, Any], console: Console) -> list[str]:
    """Print a table and return the names of the targets that were missed."""
    found: dict[str, float] = {}
    if "start" in results:
        begun = results["start"]
        # PostgreSQL has a process for each connection, and some for its own housekeeping.
        others = begun["processes"] - begun["processes_of_postgres"]
        found |= {"start_cpu_seconds": begun["cpu_seconds"], "start_processes_beside_postgres": others}
        found["idle_share_of_a_core"] = begun["idle_share_of_a_core"]
    found |= {name: results[name] for name in TASK_TARGETS if name in results}
    found |= {f"{part}_wall": results[part]["wall"] for part in ("dates_60", "year", "year_unchanged") if part in results}
    if "naive_10" in results:
        found["naive_over_ours"] = round(results["naive_10"]["wall"] / results["ours_10"]["wall"], 1)
        console.print(f"CPU seconds, naive over ours: {results['naive_10']['cpu'] / results['ours_10']['cpu']:.1f}")
    table = Table("", "measured", "target", box=None, header_style="bold")
    for name, value in found.items():
        table.add_row(name, str(value), f"{'≥' if name == 'naive_over_ours' else '≤'} {TARGETS[name]}")
    console.print(table)
    missed = [n for n, value in found.items() if (value < TARGETS[n] if n == "naive_over_ours" else value > TARGETS[n])]
    if results.get("equal_digests") is False:
        missed.append("equal_digests")
    return missed


if __name__ == "__main__":
    sys.exit(main())
