"""Categories that are certain to be codes before a window is read, and the scratch of a training that has them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lab import LAST, Lab
from windows import LABEL

from perennial.config.candidates import Logistic, Mlp
from perennial.config.pipeline import Inputs
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.train import logistic, wide
from perennial.train.classes import MAX_COLUMNS
from perennial.train.matrix_files import store_matrix
from perennial.train.needs import MAX_ERROR, estimate_needs
from perennial.train.scratch import Scratch
from perennial.train.window import WindowWriter

DATES = [LAST - timedelta(days=back) for back in range(3)]
ROWS = dict.fromkeys(DATES, 120)


@pytest.mark.parametrize(("max_classes", "expected"), [(7, True), (100, False)], ids=["more than may be", "few"])
def test_the_rows_of_one_date_are_enough_to_be_certain(lab: Lab, max_classes: int, expected: bool) -> None:
    inputs = lab.lake.pipeline.inputs.model_copy(update={"identifiers": [], "max_classes": max_classes})
    assert "machine" in inputs.one_hot, "it has eight values"
    assert wide.has_codes(lab.lake.tables.state("features"), inputs, LAST, 120) is expected


def test_nothing_is_read_where_it_decides_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[date] = []
    monkeypatch.setattr(wide, "has_codes", lambda features, inputs, day, rows: not read.append(day))
    many = dict.fromkeys(DATES, wide.MIN_ROWS)
    training = lab.lake.pipeline.training.model_copy(update={"max_rows": 1_000})
    sampled = replace(lab.lake, pipeline=lab.lake.pipeline.model_copy(update={"training": training}))
    assert not wide.is_certain_of_codes(lab.lake, Logistic(), ROWS, DATES)
    assert not wide.is_certain_of_codes(lab.lake, Mlp(), many, DATES)
    assert not wide.is_certain_of_codes(sampled, Logistic(), many, DATES), "a sample may have fewer classes than a date"
    assert read == []
    assert wide.is_certain_of_codes(lab.lake, Logistic(), many, DATES)
    assert read == [LAST]


class PeakScratch(Scratch):
    """Remembers the most that it held."""

    peak = 0

    def _count(self, path: Path, size: int) -> None:
        super()._count(path, size)
        self.peak = max(self.peak, self.written)


def test_the_estimate_of_a_training_with_codes_is_an_upper_bound_within_its_error(tmp_path: Path) -> None:
    rng, count, names = np.random.default_rng(1), 4_000, [f"n{index}" for index in range(12)]
    rows = pa.table(
        {
            "date": pa.array(np.full(count, np.datetime64(DATES[0]))),
            **{name: rng.normal(size=count) for name in names},
            "failed": pa.array(rng.random(count) < 0.3),
            "part": pa.array([f"part {index % (MAX_COLUMNS + 100)}" for index in range(count)]),
            SAMPLE: pa.array(rng.integers(0, 2**SAMPLE_BITS, count), pa.int32()),
        }
    )
    inputs = Inputs.model_validate({"request": {**dict.fromkeys(names, "number"), "part": "category"}})
    scratch = PeakScratch(tmp_path)
    writer = WindowWriter(scratch, inputs, LABEL, count)
    writer.add(rows)
    window = writer.finish()
    matrix = store_matrix(window, logistic.prepare(window, Logistic()))
    assert matrix.sizes
    logistic.fit(matrix, Logistic(), 0)
    known, unknown = (
        estimate_needs("logistic", Logistic(), inputs, LABEL, {DATES[0]: count}, DATES[:1], has_codes=has_codes)
        for has_codes in (True, False)
    )
    assert scratch.peak <= known.scratch <= MAX_ERROR * scratch.peak
    assert known.scratch < unknown.scratch / 2
    assert known.min_scratch == unknown.min_scratch
    assert known.memory <= unknown.memory
