"""
The memory and the CPU time of a training by its rows: peak, CPU microseconds a row, and both beside the plan's estimate.

It makes up a features table in a folder, and runs the trainer's own jobs on it, each in a process of its own. No stack is needed.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.transforms import IdentityTransform
from rich.console import Console

from perennial.config.candidates import FAMILIES
from perennial.config.pipeline import BinaryLabel, Inputs
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.lake.tables import TableState
from perennial.settings import var_folder
from perennial.store.content_name import sha256
from perennial.train.candidates import code_for, versions_for
from perennial.train.job import Features, Output, TrainingJob
from perennial.train.needs import Needs, estimate_needs
from perennial.train.wide import has_codes

FIRST = date(2026, 1, 1)
WINDOW_DAYS, HOLDOUT_DAYS = 28, 7
MIN_ROWS, MAX_ROWS = 100_000, 500_000
"""Windows for which the estimate is compared, beside that of ROWS."""

MAX_ERROR = 0.30
MAX_PEAK_MB = {"mlp": 1300, "logistic": 700, "logistic, codes": 700}
NUMBERS = [f"n{index:02}" for index in range(14)]
NULLABLE = NUMBERS[9:]
CLASSES = {"c0": 3, "c1": 5, "c2": 8, "c3": 12, "c4": 16, "c5": 20, "c6": 6, "c7": 4}
WIDE = 20_000
"""Values of the category of codes."""


def inputs(*, wide: bool) -> Inputs:
    """Return 25 fields, which are 126 columns, and for `wide` one more that becomes a code."""
    request = {
        "date": "date",
        "at": "time",
        "is_known": "boolean",
        **{name: "number?" if name in NULLABLE else "number" for name in NUMBERS},
        **dict.fromkeys([*CLASSES, *(["wide"] if wide else [])], "category"),
    }
    derived = {"hour": "hour_of_day(at)", "weekday": "weekday(date)", "minute": "minute_of_day(at)"}
    return Inputs.model_validate({"request": request, "derived": derived, "categories": ["hour", "weekday"]})


def main() -> int:
    """Measure each kind of training; the exit code says whether its memory and the estimates are within their bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", type=Path, metavar="JOB")
    arguments = parser.parse_args()
    if arguments.child is not None:
        return run_child(arguments.child)
    console, folder = Console(highlight=False, soft_wrap=True), var_folder() / "bench" / "scale_train"
    shutil.rmtree(folder, ignore_errors=True)
    found: dict[str, Any] = {}
    missed: list[str] = []
    try:
        for rows in sorted({MIN_ROWS, MAX_ROWS, arguments.rows}):
            for kind, cost in measure(folder / str(rows), rows):
                console.print(f"{rows:,} rows, {kind}: {cost}")
                missed += misses(kind, rows, cost)
                found[kind] = {**cost, "fewer_rows": [*found.get(kind, {}).get("fewer_rows", []), cost]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for cost in found.values():
        cost["fewer_rows"].pop()
    results = var_folder() / "bench" / "scale.json"
    known = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    results.write_text(json.dumps({**known, "train": found}, indent=2) + "\n", encoding="utf-8")
    console.print(f"TARGET MISSED: {'; '.join(missed)}. {results}" if missed else f"Targets met. {results}")
    return 1 if missed else 0


def misses(kind: str, rows: int, cost: dict[str, Any]) -> list[str]:
    """Return the bounds that a training did not keep."""
    found = [f"{kind}, {rows:,} rows: {cost['peak_mb']} MB, at most {MAX_PEAK_MB[kind]}"] * (cost["peak_mb"] > MAX_PEAK_MB[kind])
    for name in ("peak_mb", "scratch_mb"):
        if abs(cost[f"estimated_{name}"] / cost[name] - 1) > MAX_ERROR:
            found.append(f"{kind}, {rows:,} rows: {name} {cost[name]}, estimated {cost[f'estimated_{name}']}")
    return found


def measure(folder: Path, rows: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write a table and yield the cost of each kind of training on it."""
    location, snapshot = write_table(folder, rows // WINDOW_DAYS)
    allow_reading(folder)
    for kind, candidate, wide in (
        ("logistic", "logistic", False),
        ("logistic, codes", "logistic", True),
        ("mlp", "mlp", False),
    ):
        job = training_job(candidate, inputs(wide=wide), location, snapshot, rows // WINDOW_DAYS)
        body = job.encode()
        path = folder / f"{sha256(body)}.json"
        path.write_bytes(body)
        command = [sys.executable, __file__, "--child", str(path)]
        cost = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        needs = estimate_job(job)
        yield (
            kind,
            {
                "rows": needs.rows,
                "peak_mb": round(cost["peak"] / 2**20),
                "cpu_us_per_row": round(cost["cpu"] / needs.rows * 1e6, 1),
                "scratch_mb": round(cost["scratch"] / 2**20),
                "estimated_peak_mb": round(needs.memory / 2**20),
                "estimated_scratch_mb": round(needs.scratch / 2**20),
            },
        )


def estimate_job(job: TrainingJob) -> Needs:
    """Return what the plan of a job says that it takes."""
    features = job.features
    newest = max(features.window)
    state = TableState("features", features.metadata_location, features.snapshot_id, {})
    is_coded = has_codes(state, job.inputs, newest, features.rows[newest])
    return estimate_needs(job.candidate, job.settings, job.inputs, job.label, features.rows, features.window, has_codes=is_coded)


def run_child(path: Path) -> int:
    """Train the job of a file, and print its cost."""
    from perennial.train import __main__ as trainer
    from perennial.train.scratch import Scratch

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    most = 0

    def count(scratch: Scratch, file: Path, size: int, original: Any = Scratch._count) -> None:
        nonlocal most
        original(scratch, file, size)
        most = max(most, scratch.written)

    Scratch._count = count  # type: ignore[method-assign]
    allow_reading(path.parent)
    began = time.process_time()
    trainer.run_job(FolderObjects(path.parent), f"s3://bench/jobs/{path.name}")  # type: ignore[arg-type]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"cpu": time.process_time() - began, "peak": peak, "scratch": most}))
    return 0


def allow_reading(folder: Path) -> None:
    """Let this process read tables of a folder, in place of those of the lake."""
    from perennial.lake import files

    files.lake_root = lambda: f"file://{folder}"  # type: ignore[attr-defined]


@dataclass
class FolderObjects:
    """The object store of a job: the job is a file of a folder, and results are dropped."""

    folder: Path

    def read_existing(self, uri: str) -> SimpleNamespace:
        return SimpleNamespace(body=(self.folder / uri.rpartition("/")[2]).read_bytes())

    def create(self, uri: str, body: bytes) -> bool:
        return True

    def list(self, prefix: str) -> list[str]:
        return []


def training_job(candidate: str, fields: Inputs, location: str, snapshot: int, rows: int) -> TrainingJob:
    """Return the job of a training on the table."""
    dates = [FIRST + timedelta(days=index) for index in range(WINDOW_DAYS + HOLDOUT_DAYS)]
    label = BinaryLabel(column="is_late", positive=True)
    return TrainingJob(
        pipeline="bench",
        space="main",
        candidate=candidate,
        settings=FAMILIES[candidate](),
        date=dates[-1],
        key="0" * 64,
        seed=1,
        features=Features(
            metadata_location=location,
            snapshot_id=snapshot,
            window=dates[:WINDOW_DAYS],
            holdout=dates[WINDOW_DAYS:],
            digests=dict.fromkeys(dates, ""),
            rows=dict.fromkeys(dates, rows),
        ),
        inputs=fields,
        label=label,
        row_key=["order_id"],
        versions=versions_for(candidate, label),
        code=code_for(candidate, label),
        output=Output(manifest="s3://bench/models/one.json", blobs="s3://bench/blobs/"),
    )


def write_table(folder: Path, rows: int) -> tuple[str, int]:
    """Write a features table with one file a date, in the order of the hash. Return its metadata and its snapshot."""
    folder.mkdir(parents=True)
    catalog = SqlCatalog("bench", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    catalog.create_namespace("main")
    table = catalog.create_table("main.features", schema=day(0, 10).schema)
    with table.update_spec() as spec:
        spec.add_field("date", IdentityTransform(), "date")
    for index in range(WINDOW_DAYS + HOLDOUT_DAYS):
        table.append(day(index, rows))
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return table.metadata_location, snapshot.snapshot_id


def day(index: int, rows: int) -> pa.Table:
    """Return the rows of one date."""
    effects, rng = np.random.default_rng(0), np.random.default_rng([7, index])
    numbers = rng.standard_normal((rows, len(NUMBERS)))
    codes = {name: np.minimum(rng.geometric(2 / size, rows) - 1, size - 1) for name, size in CLASSES.items()}
    codes["wide"] = np.minimum(rng.geometric(4 / WIDE, rows) - 1, WIDE - 1)
    score = -1.9 + numbers @ effects.normal(0, 0.18, len(NUMBERS)) + 0.35 * numbers[:, 0] * numbers[:, 1]
    score += sum(effects.normal(0, 0.3, max(WIDE, 1))[code] for code in codes.values())
    columns: dict[str, Any] = {
        "date": pa.array(np.full(rows, np.datetime64(FIRST + timedelta(days=index)))),
        "order_id": pa.array(np.arange(rows) + index * 10**9),
        "at": pa.array(rng.integers(0, 1440, rows).astype(np.int32)),
        "is_known": pa.array(rng.random(rows) < 0.3),
        "is_late": pa.array(rng.random(rows) < 1 / (1 + np.exp(-score))),
        SAMPLE: pa.array(np.sort(rng.integers(0, 2**SAMPLE_BITS, rows)), pa.int32()),
    }
    for place, name in enumerate(NUMBERS):
        columns[name] = pa.array(numbers[:, place], mask=rng.random(rows) < 0.05 if name in NULLABLE else None)
    for name, code in codes.items():
        columns[name] = pa.array([f"{name}-{value:05}" for value in range(code.max() + 1)]).take(pa.array(code))
    return pa.table(columns)


if __name__ == "__main__":
    sys.exit(main())
