"""
How good are the candidates of flight_delays? Forty-eight honest next-day dates.

Features, training and export are the pipeline's own.
Each model is trained on the days before a date and predicts that date, which it has never seen: the date is the whole holdout.
The predictions of all dates are then judged together. `python tests/bench/models.py`, or `make bench-models`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np
import pyarrow as pa
from own_stack import STACK, own_stack
from rich.console import Console
from rich.table import Table

from perennial.analyse.plan import finish_analyse, plan_analyse
from perennial.calendar import DAY
from perennial.clean.plan import finish_clean, plan_clean
from perennial.collect.collect import collect
from perennial.config.load import load_pipeline
from perennial.config.pipeline import Pipeline
from perennial.demo.feed import feed
from perennial.evaluate.holdout import read_predictions
from perennial.lake.lake import Lake, open_lake
from perennial.lake.manifests import constant_of
from perennial.models.metrics import all_metrics
from perennial.runtime.process_training import train
from perennial.settings import var_folder
from perennial.spark.submit import submit
from perennial.train.candidates import versions_for
from perennial.train.plan import plan_training
from perennial.train.trainings import read_model

PIPELINE = "flight_delays"
FIRST, EVERY_DAYS, COUNT = date(2013, 3, 1), 6, 48
DATES = [FIRST + DAY * EVERY_DAYS * index for index in range(COUNT)]
"""
Every sixth day from 1 March to 8 December, every weekday among them about seven times. Twenty dates are too few to judge by:
the same model has a pooled ROC AUC between 0.68 and 0.81 on the fifteen ways to take every fifteenth day (docs/benchmarks.md).
"""

WINDOW_DAYS = 90
JUDGED = "blend"
TARGETS = {"roc_auc": 0.772, "log_loss": 0.378}
OFFSET = 1300
REPORTED = ("roc_auc", "pr_auc", "log_loss", "accuracy", "brier", "calibration_error")


def main() -> int:
    """Run the protocol; the exit code says whether the blend reaches the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=COUNT, help="only the first so many dates (a trial, not the benchmark)")
    dates = DATES[: parser.parse_args().dates]
    console = Console(highlight=False, soft_wrap=True)
    results = var_folder() / "bench" / "models.json"
    console.print(
        "Starting a stack of its own (S3, PostgreSQL, metastore): the landing zone of a user's must not see the whole of 2013"
    )
    with own_stack(results.parent.resolve() / "models-stack", OFFSET, up=[*STACK, "up", "--only", "metastore"]):
        lake = open_lake(with_window(load_pipeline(PIPELINE), WINDOW_DAYS, holdout_days=1))
        prepare(lake, dates, console)
        models = {name: judge(lake, name, dates, console) for name in lake.pipeline.training.candidates}
    # Every candidate has the same rows; the constant forecast is the share of late flights in each model's own window.
    base = next(iter(models.values())).pop("base")
    for one in models.values():
        one.pop("base", None)
    report = {"protocol": protocol(lake.pipeline, dates), "models": {**models, "constant": base}}
    results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(report, console)
    judged = models[JUDGED]
    met = judged["roc_auc"] >= TARGETS["roc_auc"] and judged["log_loss"] <= TARGETS["log_loss"]
    console.print(f"{'Targets met' if met else 'TARGETS MISSED'} by the {JUDGED}: {TARGETS}. {results}")
    return 0 if met else 1


def with_window(pipeline: Pipeline, window_days: int, holdout_days: int) -> Pipeline:
    """Return the pipeline with another training window and holdout; lookups and features stay what they are."""
    training = pipeline.training.model_copy(update={"window_days": window_days, "holdout_days": holdout_days})
    return pipeline.model_copy(update={"training": training})


def prepare(lake: Lake, dates: list[date], console: Console) -> None:
    """Bring the features of every window and date into the tables, by one job a stage for the whole year."""
    year = open_lake(with_window(lake.pipeline, 366, holdout_days=1))
    last = dates[-1]
    console.print(f"Landing {lake.pipeline.start} to {last}: {feed(year, lake.pipeline.start, last)['rows']}")
    collect(year, last)
    for name, plan, finish in (("clean", plan_clean, finish_clean), ("analyse", plan_analyse, finish_analyse)):
        began, children = time.monotonic(), os.times()
        submitted = submit(plan(year, last))
        cpu = os.times().children_user + os.times().children_system - children.children_user - children.children_system
        finish(year, last)
        done = f"{time.monotonic() - began:.0f} s, {cpu:.0f} CPU-s" if submitted else "unchanged"
        console.print(f"{name}: {done}")


def judge(lake: Lake, candidate: str, dates: list[date], console: Console) -> dict[str, Any]:
    """Train one candidate for every date in one process, and judge the predictions of all dates together."""
    plans = [plan_training(lake, day, candidate) for day in dates]
    jobs = [plan.job_uri for plan in plans if plan.job_uri is not None]
    if jobs:
        train(jobs, lambda line: console.print(f"  {line}", markup=False))
    manifests = [read_model(lake, plan.manifest_uri) for plan in plans if plan.manifest_uri is not None]
    assert [manifest["holdout"] for manifest in manifests] == [[day.isoformat()] for day in dates]
    predictions = [read_predictions(lake, manifest) for manifest in manifests]
    constant = [np.full(len(p), constant_of(manifest)) for p, manifest in zip(predictions, manifests, strict=True)]
    pooled = pa.concat_tables(predictions)
    y = pooled["y"].to_numpy()
    return {
        **rounded(all_metrics(y, pooled["p"].to_numpy())),
        "train_cpu_seconds": round(mean(manifest["measured"]["cpu_seconds"] for manifest in manifests), 2),
        "rows": len(y),
        "base": rounded(all_metrics(y, np.concatenate(constant))),
    }


def rounded(metrics: dict[str, float | None]) -> dict[str, float]:
    """Return the reported metrics with five decimals."""
    return {name: round(value, 5) for name in REPORTED if (value := metrics[name]) is not None}


def protocol(pipeline: Pipeline, dates: list[date]) -> dict[str, Any]:
    """Say what was measured, where and with what."""
    families = [one.family for one in pipeline.training.candidates.values()]
    versions = {name: version for family in families for name, version in versions_for(family, pipeline.label).items()}
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "dates": [day.isoformat() for day in dates],
        "window_days": WINDOW_DAYS,
        "window_is_cut_at": pipeline.start.isoformat(),
        "holdout": "the date itself, which the model has not seen; all dates are judged together",
        "train_cpu_seconds": "mean of a date, reading its rows, training, export and scoring included",
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load_average": os.getloadavg()},
        "versions": {"python": platform.python_version(), **versions},
        "targets": {JUDGED: TARGETS},
    }


def show(report: dict[str, Any], console: Console) -> None:
    """Print the table."""
    table = Table("model", *REPORTED, "train CPU-s")
    for name, one in report["models"].items():
        cells = [f"{one[metric]:.4f}" for metric in REPORTED if metric in one]
        table.add_row(name, *cells, str(one.get("train_cpu_seconds", "")))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
