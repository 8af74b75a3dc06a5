"""Train networks of PyTorch with the Python of .torch, many of them in one process: importing PyTorch takes three CPU seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from authors import train
from windows import GRADES, LABEL, store_window

from perennial.config.label import Label, NumberLabel
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.runtime.environment import TORCH, python_of
from perennial.settings import ROOT
from perennial.store.content_name import sha256
from perennial.train.compare import compare, rows_to_compare
from perennial.train.holdout import HoldoutWriter
from perennial.train.scratch import Scratch


def run_cases(folder: Path, rows: pa.Table, inputs: Inputs, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Return what became of each case: the refusal as `error`, or the `digest` of the model's graph, and the `difference`.

    :param folder: an empty folder
    :param cases: the `source` of the file, the label that it `learns` (a column, or the number to predict), an
        `interval`, the `seed`, and settings
    """
    pq.write_table(rows, folder / "rows.parquet")
    (folder / "cases.json").write_text(json.dumps({"inputs": inputs.model_dump(mode="json"), "cases": cases}))
    path = f"{ROOT / 'include'}:{Path(__file__).parent}"
    command = [python_of(TORCH), __file__, str(folder)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == ""
    found: list[dict[str, Any]] = json.loads((folder / "found.json").read_text())
    return found


def _run(
    folder: Path,
    inputs: Inputs,
    source: str | None = None,
    learns: str = LABEL.column,
    interval: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    labels: dict[str, Label] = {LABEL.column: LABEL, GRADES.column: GRADES}
    label = labels.get(learns) or NumberLabel(column="minutes", predict=learns, interval=interval)
    table = pq.read_table(folder / "rows.parquet")
    window = store_window(folder, table, inputs, label)
    try:
        model = train("pytorch", window, source=source, **options)
        scratch = Scratch(folder)
        writer = HoldoutWriter(scratch, ["slot"], label)
        writer.add(table)
        rows = rows_to_compare(inputs, window, writer.finish(), ["slot"])
        difference = compare(model.onnx, model.answerer(), "candidate", rows, window.target.spread)
    except RefusedError as error:
        return {"error": str(error)}
    return {"digest": sha256(model.onnx), "difference": difference}


def _main(folder: Path) -> None:
    given = json.loads((folder / "cases.json").read_text())
    inputs = Inputs.model_validate(given["inputs"])
    found = []
    for case in given["cases"]:
        found.append(_run(folder, inputs, **case))
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
