"""The estimate of a training before it reads anything, and the refusal of one that cannot fit."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.train.needs import Limits, Needs, check_needs, estimate_needs

DATES = [date(2026, 1, 1) + timedelta(days=index) for index in range(35)]
GIB = 2**30


def needs(rows: int, inputs: Inputs, candidate: str = "logistic", **options: Any) -> Needs:
    return estimate_needs(candidate, inputs, dict.fromkeys(DATES, rows), DATES[:28], **options)


def test_rows_and_buckets_are_those_of_the_commits_and_the_sample(inputs: Inputs) -> None:
    whole, sample = needs(100_000, inputs), needs(100_000, inputs, max_rows=100_000)
    assert (whole.rows, whole.holdout_rows, whole.buckets) == (2_800_000, 700_000, 32)
    assert (sample.rows, sample.holdout_rows, sample.buckets) == (100_000, 700_000, 1)
    judged = needs(100_000, inputs, max_rows=100_000, max_judged=50_000)
    assert judged.holdout_rows == 50_000
    assert judged.scratch < sample.scratch < whole.scratch
    assert "logistic: 2,800,000 rows of the window in 32 buckets, 700,000 rows of the holdout, about" in whole.describe()


def test_memory_does_not_grow_with_the_window(inputs: Inputs) -> None:
    few, many = (estimate_needs("mlp", inputs, {DATES[0]: rows, DATES[1]: 1000}, DATES[:1]) for rows in (2**20, 2**28))
    assert few.memory == many.memory
    assert needs(1000, inputs, "mlp").memory > needs(1000, inputs).memory


def test_what_cannot_fit_is_refused_with_all_reasons_and_numbers(inputs: Inputs) -> None:
    found = needs(10_000_000, inputs)
    limits = Limits(16 * GIB, GIB, "training.resources.memory is 1Gi")
    with pytest.raises(RefusedError) as refused:
        check_needs(found, limits, "The training of logistic")
    text = str(refused.value)
    assert f"scratch: about {found.scratch / 1e9:,.2f} GB for 280,000,000 rows of the window and 70,000,000 of" in text
    assert "training.resources.scratch allows 17.18 GB" in text
    assert f"set training.max_rows to {found.rows - (found.scratch - 16 * GIB) // found.row_scratch:,} or less" in text
    assert f"memory: about {found.memory / 1e9:,.2f} GB with 70,000,000 rows of the holdout" in text
    assert "training.resources.memory is 1Gi" in text


def test_the_error_of_the_estimate_refuses_nothing(inputs: Inputs) -> None:
    found = needs(1000, inputs)
    near = Limits(int(found.scratch / 1.29), int(found.memory / 1.29), "")
    check_needs(found, near, "It")
    assert len(Limits(int(found.scratch / 1.31), int(found.memory / 1.31), "").find_problems(found)) == 2
