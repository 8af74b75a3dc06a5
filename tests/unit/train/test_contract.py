"""
Each family holds the contract of candidates for each task: the same bits, exact graphs, odd rows, bounded memory.

`pytorch` needs an environment of its own: test_pytorch.py tests it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from authors import TRAINED, TRAINED_ON_NUMBERS, train
from windows import GRADES, LABEL, store_window, with_grade, with_minutes

from perennial.config.label import Label, NumberLabel
from perennial.config.pipeline import Inputs
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.models.scoring import score
from perennial.store.content_name import sha256
from perennial.tasks.task import task_of
from perennial.train import window as window_module
from perennial.train.candidates import memory_of
from perennial.train.compare import MAX_DIFFERENCE, compare, rows_to_compare
from perennial.train.holdout import HoldoutWriter
from perennial.train.scratch import Scratch
from perennial.train.window import Window, WindowWriter

pytestmark = pytest.mark.tensorflow

MakeRows = Callable[..., pa.Table]
LABELS: dict[str, Label] = {
    "binary": LABEL,
    "multiclass": GRADES,
    "regression": NumberLabel(column="minutes", predict="mean"),
}
FAMILIES = {"binary": TRAINED, "multiclass": TRAINED, "regression": TRAINED_ON_NUMBERS}
CELLS = [(task, family) for task, families in FAMILIES.items() for family in families]
IN_PARTS = [("multiclass", family) for family in TRAINED if family not in ("sklearn", "file")] + [("regression", "linear")]
"""Families that read a window in buckets, each for the task that takes the most memory of a row."""
SHORT = {"xgboost": {"trees": 20}, "lightgbm": {"trees": 20}, "mlp": {"epochs": 2}, "keras": {"epochs": 2}}
FEW, MANY, BUCKET_ROWS = 40_000, 200_000, 16_384
FREE_BYTES = 40 * 2**20
"""Growth that is no memory of rows: pages that allocators keep. A family that holds all rows grows by 50 MB."""


def with_labels(rows: pa.Table) -> pa.Table:
    return with_grade(with_minutes(rows))


@pytest.mark.parametrize(("task", "family"), CELLS)
def test_fifty_rows_with_a_constant_and_an_empty_column_give_an_exact_model(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, task: str, family: str
) -> None:
    label = LABELS[task]
    few = with_labels(make_rows(days=2, per_day=25, pressure=lambda n: pa.array([3.0] * n), machines__age=nulls))
    window = store_window(tmp_path, few, inputs, label)
    model = train(family, window)
    writer = HoldoutWriter(Scratch(tmp_path), ["slot"], label)
    writer.add(few)
    rows = rows_to_compare(inputs, window, writer.finish(), ["slot"])
    assert compare(model.onnx, model.answerer(), family, rows, window.target.spread) < MAX_DIFFERENCE
    unseen: Any = {"site": lambda n: pa.array(["moon"] * n), "shift": lambda n: pa.array([None] * n, pa.string())}
    odd = with_labels(make_rows(pressure=nulls, machines__age=nulls, **unseen))
    answers = score(model.onnx, odd, inputs)
    assert task_of(label).are_valid(task_of(label).read_labels(odd), answers)
    assert not task_of(label).is_classes or ((answers > 0) & (answers < 1)).all()


def nulls(count: int) -> pa.Array:
    return pa.array([None] * count, pa.float64())


@pytest.mark.parametrize("task", FAMILIES)
def test_another_process_gives_the_same_bytes_from_rows_in_another_order(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, task: str
) -> None:
    rows = with_labels(make_rows())
    other = run_apart(tmp_path, inputs, rows.take(list(range(rows.num_rows - 1, -1, -1))), ["bytes", task])
    # The order of the trainings must not matter, either.
    families = FAMILIES[task][::-1]
    assert other == {family: digest(family, store_window(tmp_path, rows, inputs, LABELS[task])) for family in families}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("task", "family"), IN_PARTS)
def test_memory_grows_with_the_window_as_the_plan_says(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, task: str, family: str
) -> None:
    """With few trees and epochs, since each takes the memory of the one before."""
    found = run_apart(tmp_path, inputs, with_labels(make_rows(days=1, per_day=FEW // 2)), ["memory", task, family])
    planned = memory_of(family, MANY) - memory_of(family, FEW)
    assert found["growth"] <= 2 * planned + FREE_BYTES  # the plan counts bytes of a row that trees of many bins exceed


def digest(family: str, window: Window) -> list[str]:
    model = train(family, window)
    return [sha256(model.onnx), sha256(model.weights or b"")]


def run_apart(folder: Path, inputs: Inputs, rows: pa.Table, work: list[str]) -> Any:
    """Return what `main` finds in another process."""
    pq.write_table(rows, folder / "rows.parquet")
    (folder / "inputs.json").write_text(json.dumps(inputs.model_dump(mode="json"), sort_keys=True))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, str(folder), *work]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "found.json").read_text())


def main(folder: Path, work: str, task: str, *families: str) -> None:
    inputs = Inputs.model_validate_json((folder / "inputs.json").read_text())
    if work == "bytes":
        rows = pq.read_table(folder / "rows.parquet")
        found: Any = {family: digest(family, store_window(folder, rows, inputs, LABELS[task])) for family in FAMILIES[task]}
    else:
        window_module.BUCKET_ROWS = BUCKET_ROWS
        peaks = []
        for rows in (FEW, MANY):
            train(families[0], store_copies(folder, inputs, LABELS[task], rows), **SHORT.get(families[0], {}))
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        found = {"growth": peaks[1] - peaks[0]}
    (folder / "found.json").write_text(json.dumps(found))


def store_copies(folder: Path, inputs: Inputs, label: Label, rows: int) -> Window:
    """Store the same rows as often as gives a number of rows, each time with other hashes."""
    table = pq.read_table(folder / "rows.parquet")
    place = table.schema.get_field_index(SAMPLE)
    writer = WindowWriter(Scratch(folder), inputs, label, rows)
    for copy in range(rows // table.num_rows):
        hashes = np.random.default_rng(copy).integers(0, 2**SAMPLE_BITS, table.num_rows, dtype=np.int32)
        writer.add(table.set_column(place, SAMPLE, pa.array(hashes)))
    return writer.finish()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
