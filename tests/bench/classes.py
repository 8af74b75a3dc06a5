"""
The cost of a category that names every row: a training with it, beside one without it.

Every training runs in a process of its own. A small training before it loads the libraries, so that only the training counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np
import pyarrow as pa
from rich.console import Console
from windows import store_window

from perennial.config.candidates import FAMILIES
from perennial.config.pipeline import BinaryLabel, Inputs
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.settings import var_folder
from perennial.train.model import train_model

ROWS_A_DAY, DAYS = 250, 28
"""250 rows a day and 28 days: 7,000 rows, each with another value."""

AMOUNTS = 12
MAX_RATIO = 1.5
RUNS = 5
FIRST = date(2026, 1, 1)
LABEL = BinaryLabel(column="late")


def main() -> int:
    """Measure both candidates; the exit code says whether the field costs no more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, metavar=("CANDIDATE", "WIDE"))
    if (child := parser.parse_args().child) is not None:
        sys.stdout.write(json.dumps(train(child[0], wide=child[1] == "yes")))
        return 0
    console, report = Console(highlight=False, soft_wrap=True), {}
    for candidate in ("logistic", "mlp"):
        runs = [{wide: run(candidate, wide) for wide in ("no", "yes")} for _ in range(RUNS)]  # alternating
        without, beside = (
            {key: statistics.median(one[wide][key] for one in runs) for key in runs[0][wide]} for wide in ("no", "yes")
        )
        ratio = round(beside["train_cpu"] / without["train_cpu"], 2)
        report[candidate] = {"without": without, "with": beside, "ratio": ratio}
        console.print(f"{candidate}: {ratio} times the CPU; without the field {without}, with it {beside}")
    results = var_folder() / "bench" / "classes.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    met = all(one["ratio"] <= MAX_RATIO for one in report.values())
    console.print(f"{'Target met' if met else 'TARGET MISSED'}: at most {MAX_RATIO} times. {results}")
    return 0 if met else 1


def run(candidate: str, wide: str) -> dict[str, float]:
    """Return the cost of one training in a process of its own."""
    command = [sys.executable, __file__, "--child", candidate, wide]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def train(candidate: str, *, wide: bool) -> dict[str, float]:
    """Train once and return the CPU seconds of the training and of the whole process, and its memory."""
    with TemporaryDirectory() as folder:
        one = Inputs.model_validate({"request": {"x0": "number"}})
        train_model(FAMILIES[candidate](), store_window(Path(folder), rows(days=2), one, LABEL), seed=1)
        table, began = rows(days=DAYS), time.process_time()
        train_model(FAMILIES[candidate](), store_window(Path(folder), table, inputs(wide=wide), LABEL), seed=1)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "train_cpu": round(time.process_time() - began, 3),
        "whole_cpu": round(used.ru_utime + used.ru_stime, 2),
        "memory_mb": round(used.ru_maxrss / 1024),
    }


def inputs(*, wide: bool) -> Inputs:
    """Return a dozen numbers and two ordinary categories, and the field that names every row."""
    request = {f"x{index}": "number" for index in range(AMOUNTS)} | {"shop": "category", "kind": "category"}
    return Inputs.model_validate({"request": request | ({"customer": "category"} if wide else {})})


def rows(days: int) -> pa.Table:
    """Return the rows of a window."""
    rng = np.random.default_rng(5)
    n = days * ROWS_A_DAY
    columns: dict[str, Any] = {f"x{index}": rng.normal(size=n) for index in range(AMOUNTS)}
    columns["late"] = rng.random(n) < 1 / (1 + np.exp(-columns["x0"] + 1))
    columns |= {name: rng.choice([f"{name}{index}" for index in range(20)], n).tolist() for name in ("shop", "kind")}
    columns |= {"date": [FIRST + timedelta(days=row // ROWS_A_DAY) for row in range(n)], "id": range(n)}
    columns["customer"] = [f"C{value:07}" for value in rng.permutation(10 * n)[:n].tolist()]
    table = pa.table({name: list(values) for name, values in columns.items()})
    return table.append_column(SAMPLE, pa.array(rng.integers(0, 2**SAMPLE_BITS, n), pa.int32()))


if __name__ == "__main__":
    sys.exit(main())
