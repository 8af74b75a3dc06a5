"""A holdout on scratch disk is what was read, and its predictions are one Parquet file of its parts."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from perennial.config.candidates import Logistic
from perennial.config.pipeline import BinaryLabel, Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import in_order, score
from perennial.tasks.task import task_of
from perennial.train.holdout import HoldoutWriter, Predicted, StoredHoldout, predict
from perennial.train.model import train_model
from perennial.train.scratch import Scratch

LABEL, ROW_KEY = BinaryLabel(column="failed", positive=True), ["machine", "slot"]


def written(scratch: Scratch, *parts: pa.Table) -> StoredHoldout:
    writer = HoldoutWriter(scratch, ROW_KEY, LABEL)
    for part in parts:
        writer.add(part)
    return writer.finish()


def predicted_of(graph: bytes, inputs: Inputs, folder: Path, *parts: pa.Table) -> Predicted:
    scratch = Scratch(Path(mkdtemp(dir=folder)))
    predicted = predict(graph, written(scratch, *parts), inputs, ROW_KEY, scratch)
    assert scratch.written == sum(file.stat().st_size for file in scratch.folder.iterdir())
    return predicted


@pytest.fixture
def graph(inputs: Inputs, make_rows: Callable[..., pa.Table], window_of: Callable[..., object]) -> bytes:
    return train_model(Logistic(), window_of(make_rows(), inputs), 3).onnx  # type: ignore[arg-type]


def test_one_part_gives_the_bytes_of_a_table_written_at_once(
    inputs: Inputs, make_rows: Callable[..., pa.Table], tmp_path: Path, graph: bytes
) -> None:
    rows = make_rows()
    ordered = in_order(rows, ROW_KEY)
    predicted = predicted_of(graph, inputs, tmp_path, rows)
    y, p = task_of(LABEL).read_labels(ordered), score(graph, ordered, inputs)
    table = ordered.select(["date", *ROW_KEY]).append_column("y", pa.array(y, pa.int8())).append_column("p", pa.array(p))
    expected = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), expected, compression="zstd")
    assert predicted.path.read_bytes() == expected.getvalue()
    assert (predicted.y.tolist(), predicted.p.tolist()) == (y.tolist(), p.tolist())


def test_parts_give_the_same_predictions_each_in_its_own_row_group(
    inputs: Inputs, make_rows: Callable[..., pa.Table], tmp_path: Path, graph: bytes
) -> None:
    rows = make_rows()
    days = [rows.filter(pc.equal(rows["date"], day)) for day in pc.unique(rows["date"])]
    whole = predicted_of(graph, inputs, tmp_path, rows)
    parts = predicted_of(graph, inputs, tmp_path, *sorted(days, key=lambda day: day["date"][0].as_py()))
    assert pq.ParquetFile(parts.path).num_row_groups == len(days) > 1
    assert pq.read_table(parts.path) == pq.read_table(whole.path)
    assert np.array_equal(parts.p, whole.p)


def test_a_holdout_without_rows_has_no_file(make_rows: Callable[..., pa.Table], tmp_path: Path) -> None:
    holdout = written(Scratch(tmp_path), make_rows().slice(0, 0))
    assert (holdout.rows, list(holdout.read()), list(tmp_path.iterdir())) == (0, [], [])


def test_a_row_without_a_label_is_refused_before_the_training(make_rows: Callable[..., pa.Table], tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="have no label"):
        written(Scratch(tmp_path), make_rows(failed=lambda n: pa.array([None] * n, pa.bool_())))


def test_a_holdout_is_part_of_the_scratch_of_its_training(make_rows: Callable[..., pa.Table], tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"its files need more than 100 bytes, which training\.resources\.scratch allows"):
        written(Scratch(tmp_path, 100), make_rows())
