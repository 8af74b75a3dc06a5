"""Samples of a window: nested, of the right size, and probabilities that stay calibrated."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
import pytest
from windows import LABEL

from perennial.config.candidates import FAMILIES
from perennial.config.pipeline import Inputs
from perennial.lake.sample import SAMPLE_BITS
from perennial.models.scoring import score
from perennial.train import window as window_module
from perennial.train.job import Sample
from perennial.train.model import train_model
from perennial.train.sampling import Bounds, Classes, choose_balanced, choose_uniform
from perennial.train.scratch import Scratch
from perennial.train.window import Window, WindowWriter

ROWS = 200_000
HASHES = np.random.default_rng(1).integers(0, 2**SAMPLE_BITS, ROWS).astype(np.int32)
Y = (np.random.default_rng(2).random(ROWS) < 0.02).astype(np.int8)
CLASSES = Classes(int((Y == 0).sum()), int((Y == 1).sum()))


def bounds(kind: str, max_rows: int) -> Bounds:
    sample = Sample(max_rows=max_rows, kind=kind)
    return choose_uniform(sample, ROWS) if kind == "uniform" else choose_balanced(sample, CLASSES)


@pytest.mark.parametrize("kind", ["uniform", "balanced"])
def test_a_larger_sample_holds_the_smaller_one_and_both_have_their_size(kind: str) -> None:
    chosen = [bounds(kind, size).choose(HASHES, Y) for size in (2_000, 5_000, 60_000, ROWS)]
    for smaller, larger in itertools.pairwise(chosen):
        assert not (smaller & ~larger).any()
    assert [found.sum() for found in chosen] == pytest.approx([2_000, 5_000, 60_000, ROWS], rel=0.06)


def test_half_of_a_balanced_sample_is_of_the_rarer_class_if_there_are_so_many() -> None:
    few, many = bounds("balanced", 4_000).choose(HASHES, Y), bounds("balanced", 60_000).choose(HASHES, Y)
    assert Y[few].mean() == pytest.approx(0.5, abs=0.03)
    assert (many & (Y == 1)).sum() == CLASSES.positives
    other = choose_balanced(Sample(max_rows=4_000, kind="balanced"), Classes(CLASSES.positives, CLASSES.negatives))
    assert other == Bounds(bounds("balanced", 4_000).positive, bounds("balanced", 4_000).negative)


@pytest.mark.parametrize("kind", ["uniform", "balanced"])
def test_each_bucket_of_a_sample_is_a_random_part_of_it(
    inputs: Inputs, make_rows: Callable[..., pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(window_module, "BUCKET_ROWS", 1_000)
    rows = make_rows(per_day=5_000)
    rare = pa.array(rows["failed"].to_numpy() & (np.random.default_rng(3).random(rows.num_rows) < 0.3))
    rows = rows.set_column(rows.column_names.index("failed"), "failed", rare)
    positives = int(np.sum(rare.to_numpy(zero_copy_only=False)))
    sample = Sample(max_rows=4_000, kind=kind)
    chosen = (
        choose_uniform(sample, rows.num_rows)
        if kind == "uniform"
        else choose_balanced(sample, Classes(rows.num_rows - positives, positives))
    )
    writer = WindowWriter(Scratch(tmp_path), inputs, LABEL, 4_000, chosen)
    writer.add(rows)
    window = writer.finish()
    assert window.bucket_rows == pytest.approx([window.rows / 4] * 4, rel=0.1)
    shares = [bucket.y.mean() for bucket in window.read()]
    assert shares == pytest.approx([window.target.constant] * 4, abs=0.04)
    late = [float(np.mean(bucket.y[len(bucket.y) // 2 :])) for bucket in window.read()]
    assert late == pytest.approx([window.target.constant] * 4, abs=0.06), "the order within a bucket is random, too"


@pytest.mark.tensorflow
@pytest.mark.parametrize("candidate", ["logistic", "mlp"])
def test_probabilities_of_a_balanced_sample_are_calibrated(
    inputs: Inputs, make_rows: Callable[..., pa.Table], tmp_path: Path, candidate: str
) -> None:
    rows = make_rows(per_day=5_000)
    rare = pa.array(rows["failed"].to_numpy() & (np.random.default_rng(3).random(rows.num_rows) < 0.15))
    rows = rows.set_column(rows.column_names.index("failed"), "failed", rare)
    positives = int(np.sum(rare.to_numpy(zero_copy_only=False)))

    def store(chosen: Bounds) -> Window:
        writer = WindowWriter(Scratch(Path(mkdtemp(dir=tmp_path))), inputs, LABEL, rows.num_rows, chosen)
        writer.add(rows)
        return writer.finish()

    sample = choose_balanced(Sample(max_rows=1_500, kind="balanced"), Classes(rows.num_rows - positives, positives))
    window = store(sample)
    assert 0.35 < window.target.constant < 0.65
    found = score(train_model(FAMILIES[candidate](), window, 1).onnx, rows, inputs).mean()
    assert found == pytest.approx(positives / rows.num_rows, rel=0.35)
