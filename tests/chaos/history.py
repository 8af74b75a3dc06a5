"""
Does a backfill come out exactly, whatever is killed meanwhile? Sixty dates, three runs at a time, against a clean serial run.

`python tests/chaos/history.py --seeds 20`, or `make chaos-history SEEDS=20`: twenty kills, each drawn by its own seed. ONLY="7 12" repeats
those of two seeds. Both backfills have a stack of their own; afterwards every partition's digest, the rows as they are read, the weights
and the decisions must be the same. A service that was killed is started again by `stack up`, as its supervisor would.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import psutil
import yaml
from own_stack import STACK, own_stack, run_stack
from rich.console import Console

from perennial.airflow_client import AirflowClient
from perennial.calendar import days, midnight
from perennial.errors import PerennialError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake, open_lake
from perennial.lake.objects import sha256, split_uri
from perennial.lake.tables import read_rows
from perennial.pipeline_file import FILE, load_pipeline
from perennial.settings import var_folder
from perennial.train.plan import plan_training, read_model
from stack.config import REPO, StackConfig
from stack.process import recorded

PIPELINE = "machine_faults"
DAG = f"retrain_{PIPELINE}"
LANDED = date(2026, 3, 1)
FIRST, LAST = LANDED + timedelta(days=4), LANDED + timedelta(days=63)
OFFSET = 1700
LONGEST_SECONDS = 3600
ROUNDS = 3
"""How often what failed for good (a task is tried three times) is run again, as a user would."""

TASK, SPARK, TRAINER = "task", "spark", "trainer"
SERVICES = {"scheduler": "airflow-scheduler", "s3": "s3", "postgres": "postgres"}
WORK = (TASK, SPARK, TRAINER)
KINDS = (*WORK, *WORK, *SERVICES)
PATIENCE_SECONDS = 60
"""How long a kill waits for the kind that its seed drew; then it takes any that is there."""
console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run both backfills and compare what they left; 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="kill by the seeds 1 to N")
    parser.add_argument("--only", type=int, nargs="+", help="kill by these seeds only")
    given = parser.parse_args()
    seeds = given.only or list(range(1, given.seeds + 1))
    left = {}
    with landed("clean") as (lake, _):
        backfill(runs_at_once=1)
        left["clean"] = contents(lake)
    with landed("killed") as (lake, config):
        killer = Killer(config, seeds)
        killer.start()
        try:
            backfill(runs_at_once=3)
        finally:
            killer.done.set()
            killer.join()
        left["killed"] = contents(lake)
        stale = sum(entry.stale for entry in read_chain(lake).entries.values())
    console.print(f"{len(killer.killed)} of {len(seeds)} kills before it was done: {', '.join(killer.killed)}")
    differing = [name for name, found in left["clean"].items() if left["killed"].get(name) != found]
    differing += [name for name in left["killed"] if name not in left["clean"]]
    if killer.problem:
        console.print(f"✗ {killer.problem}")
    if killer.problem or differing or stale or len(killer.killed) < len(seeds) / 2:
        again = " ".join(map(str, seeds))
        console.print(f"✗ {len(differing)} differ, {stale} decisions are stale: {', '.join(differing[:20])}")
        console.print(f'The same kills again: make chaos-history ONLY="{again}"')
        return 1
    console.print(f"✓ {len(left['clean'])} partitions, weights and decisions are those of the clean serial run")
    return 0


@dataclass
class Killer(threading.Thread):
    """Kills a process by each seed: after a while that the seed draws, of the kind that it draws."""

    config: StackConfig
    seeds: Sequence[int]
    killed: list[str] = field(default_factory=list)
    problem: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        for seed in self.seeds:
            chance = random.Random(seed)
            if self.done.wait(chance.uniform(2, 10)):
                return
            kind, victim = self._draw(chance)
            if self.done.is_set():
                return
            for process in [*victim.children(recursive=True), victim] if kind == TASK else [victim]:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            self.killed.append(f"{seed} {kind}")
            console.print(f"  seed {seed}: killed {kind} (process {victim.pid})")
            if kind in SERVICES:
                try:
                    run_stack([*STACK, "up"])
                except SystemExit as error:  # it ends a thread without a word
                    self.problem = str(error)
                    return

    def _draw(self, chance: random.Random) -> tuple[str, psutil.Process]:
        kind, since = chance.choice(KINDS), time.monotonic()
        while time.monotonic() - since < PATIENCE_SECONDS and not self.done.wait(0.2):
            if (found := self._find(kind, chance)) is not None:
                return kind, found
        others = chance.sample(KINDS, len(KINDS))
        return next((other, found) for other in others if (found := self._find(other, chance)) is not None)

    def _find(self, kind: str, chance: random.Random) -> psutil.Process | None:
        """Return a process of a kind, or None when there is none now."""
        try:
            if kind in SERVICES:
                return self._service(SERVICES[kind])
            scheduler = self._service("airflow-scheduler")
            # scheduler → worker of the executor → task → what the task started
            tasks = [task for worker in scheduler.children() for task in worker.children()]
            if kind == TASK:
                found = tasks
            else:
                marker = "org.apache.spark.deploy.SparkSubmit" if kind == SPARK else "perennial.train"
                found = [one for task in tasks for one in task.children(recursive=True) if marker in " ".join(one.cmdline())]
        except psutil.NoSuchProcess:
            return None
        return chance.choice(found) if found else None

    def _service(self, name: str) -> psutil.Process:
        record = recorded(self.config, name)
        if record is None:
            raise psutil.NoSuchProcess(0, name)
        return psutil.Process(record.pid)


@contextmanager
def landed(name: str) -> Iterator[tuple[Lake, StackConfig]]:
    """Start a stack with nothing in it but one small pipeline and its landed drops."""
    place = var_folder().resolve() / "chaos" / name
    pipelines = place / "pipelines"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(REPO / "tests/pipelines" / PIPELINE, pipelines / PIPELINE)
    document = yaml.safe_load((pipelines / PIPELINE / FILE).read_text(encoding="utf-8")) | {"end": LAST}
    (pipelines / PIPELINE / FILE).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    console.print(f"The {name} backfill: starting a stack, landing {LANDED} to {LAST}")
    with own_stack(place, OFFSET, PERENNIAL_PIPELINES=str(pipelines)):
        lake = open_lake(load_pipeline(PIPELINE))
        land(lake)
        yield lake, StackConfig(REPO, place, OFFSET, pipelines)


def land(lake: Lake) -> None:
    """Land every date, the manifest of each last."""
    spec = importlib.util.spec_from_file_location("machine_data", REPO / "tests/pipelines/generate.py")
    if spec is None or spec.loader is None:
        raise SystemExit("tests/pipelines/generate.py cannot be read.")
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    for day in days(LANDED, LAST):
        for name, body in data.drop(day).items():
            bucket, key = split_uri(lake.pipeline.sources[data.SOURCE].drop_uri(day) + name)
            lake.objects.client.put_object(Bucket=bucket, Key=key, Body=body)


def backfill(*, runs_at_once: int) -> None:
    """Backfill the sixty dates, and what has failed again, up to ROUNDS times."""
    began = time.monotonic()
    password = Path(os.environ["PERENNIAL_AIRFLOW_LOGIN"]).read_text(encoding="utf-8").strip()
    zone = load_pipeline(PIPELINE).calendar.time_zone
    begin, end = midnight(FIRST, zone), midnight(LAST, zone)
    for reprocess in ("none", *["failed"] * ROUNDS):
        with AirflowClient(os.environ["PERENNIAL_AIRFLOW_URL"], password) as airflow:
            airflow.wait_for_dag(DAG)
            airflow.unpause(DAG)
            until = {"until": LAST.isoformat()}
            one = airflow.backfill(DAG, begin, end, until, reprocess=reprocess, runs_at_once=runs_at_once)
            waiting_since = time.monotonic()
            while not answered(lambda airflow=airflow, one=one: airflow.backfill_is_done(one)):  # type: ignore[misc]
                if time.monotonic() - waiting_since > LONGEST_SECONDS:
                    raise SystemExit(f"The backfill has not ended after {LONGEST_SECONDS} s.")
                time.sleep(1)
            failed = airflow.count_runs(DAG, begin, end, "failed")
        console.print(f"  {time.monotonic() - began:.0f} s, {failed} runs failed")
        if not failed:
            return
    raise SystemExit(f"{failed} runs have failed again and again.")


def answered(ask: Callable[[], bool]) -> bool:
    """Return an answer, or False while Airflow has none: its database may have been killed."""
    try:
        return ask()
    except PerennialError:
        return False


def contents(lake: Lake) -> dict[str, Any]:
    """Return every partition's digest and rows, the weights and the decision of every date, by name."""
    pipeline, found = lake.pipeline, {}
    tables = ["features", "profile", *(f"analysis_{name}" for name in pipeline.sql_files("analysis"))]
    for table in [*(f"clean_{name}" for name in pipeline.sources), *tables]:
        state = lake.tables.state(table)
        rows = rows_by_day(state)
        for text, partition in state.partitions.items():
            found[f"{table} {text}"] = (partition.digest, partition.rows, sha256("\n".join(sorted(rows.get(text, []))).encode()))
    for candidate in pipeline.training.candidates:
        for day in days(FIRST, LAST):
            manifest = read_model(lake, plan_training(lake, day, candidate).manifest_uri or "")
            found[f"{candidate} {day}"] = manifest["files"]["weights.safetensors"]["sha256"]
    for text, entry in read_chain(lake).entries.items():
        found[f"decision {text}"] = entry.uri.rpartition("/")[2]
    return found


def rows_by_day(state: Any) -> dict[str, list[str]]:
    """Return the rows of each date as text, as they are read back."""
    wanted = [date.fromisoformat(text) for text in state.partitions]
    rows: dict[str, list[str]] = {}
    for row in read_rows(state.metadata_location, state.snapshot_id, wanted, ("*",)).to_pylist():
        rows.setdefault(row["date"].isoformat(), []).append(repr(sorted(row.items())))
    return rows


if __name__ == "__main__":
    sys.exit(main())
