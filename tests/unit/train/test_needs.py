"""The estimate of a training before it reads anything, and the refusal of one that cannot fit."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from authors import settings_of
from windows import LABEL

from perennial.config.candidates import FAMILIES, Mlp
from perennial.config.load import load_pipeline
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.train.needs import Limit, Limits, Needs, check_needs, estimate_needs

REPO = Path(__file__).parents[3]
DATES = [date(2026, 1, 1) + timedelta(days=index) for index in range(35)]
GIB = 2**30


def needs(rows: int, inputs: Inputs, candidate: str = "logistic", **options: Any) -> Needs:
    return estimate_needs(candidate, FAMILIES[candidate](), inputs, LABEL, dict.fromkeys(DATES, rows), DATES[:28], **options)


def limits(scratch: int = 2**50, memory: int = 2**50) -> Limits:
    return Limits(
        Limit(scratch, "training.resources.scratch allows", "Raise it"),
        Limit(memory, "training.resources.memory allows", "Raise it"),
    )


def test_rows_and_buckets_are_those_of_the_commits_and_the_sample(inputs: Inputs) -> None:
    whole, sample = needs(100_000, inputs), needs(100_000, inputs, max_rows=100_000)
    assert (whole.rows, whole.holdout_rows, whole.buckets) == (2_800_000, 700_000, 32)
    assert (sample.rows, sample.holdout_rows, sample.buckets) == (100_000, 700_000, 1)
    judged = needs(100_000, inputs, max_rows=100_000, max_judged=50_000)
    assert judged.holdout_rows == 50_000
    assert judged.scratch < sample.scratch < whole.scratch
    assert "logistic: 2,800,000 rows of the window in 32 buckets, 700,000 rows of the holdout, about" in whole.describe()


def test_memory_does_not_grow_with_the_window(inputs: Inputs) -> None:
    few, many = (
        estimate_needs("mlp", Mlp(), inputs, LABEL, {DATES[0]: rows, DATES[1]: 1000}, DATES[:1]) for rows in (2**20, 2**28)
    )
    assert few.memory == many.memory
    assert needs(1000, inputs, "mlp").memory > needs(1000, inputs).memory


def test_what_cannot_fit_is_refused_with_all_reasons_and_numbers(inputs: Inputs) -> None:
    found = needs(10_000_000, inputs)
    with pytest.raises(RefusedError) as refused:
        check_needs(found, limits(16 * GIB, GIB), "The training of logistic")
    text = str(refused.value)
    assert f"scratch: at least {found.min_scratch / 1e9:,.2f} GB for 280,000,000 rows of the window" in text
    assert "training.resources.scratch allows 17.18 GB" in text
    assert f"set training.max_rows to {16 * GIB // (found.min_scratch // found.rows):,} or less" in text
    assert f"memory: needs about {found.min_memory / 1e9:,.2f} GB with 70,000,000 rows of the holdout" in text
    assert "training.resources.memory allows 1.07 GB" in text
    assert "set gate.max_rows" in text


def test_a_larger_holdout_alone_is_named_as_the_cause_of_missing_memory(inputs: Inputs) -> None:
    (problem,) = limits(memory=2**20).find_problems(needs(1000, inputs))
    assert "gate.max_rows" not in problem
    assert problem.endswith("Raise it")


def test_categories_with_two_classes_fit_where_the_estimate_expects_many_more() -> None:
    """The number of classes is a guess: 12 for each of 40 categories. They have two, and 1.37 GB are enough."""
    request = {**dict.fromkeys("abc", "number"), **{f"text_{number}": "category" for number in range(40)}}
    inputs = Inputs.model_validate({"request": request})
    found = needs(150_000, inputs, max_judged=50_000)
    assert found.scratch > 1.3 * 2 * GIB
    assert limits(scratch=2 * GIB).find_problems(found) == []


@pytest.mark.parametrize("family", ["sklearn", "file"])
def test_a_family_that_holds_all_rows_at_once_is_refused_with_numbers_and_the_rows_that_fit(inputs: Inputs, family: str) -> None:
    settings = settings_of(family)
    found = estimate_needs(family, settings, inputs, LABEL, dict.fromkeys(DATES, 10_000_000), DATES[:28], max_judged=50_000)
    (problem,) = limits(memory=4 * GIB).find_problems(found)
    assert f"memory: needs about {found.min_memory / 1e9:,.2f} GB with all 280,000,000 rows of the window at once" in problem
    assert "training.resources.memory allows 4.29 GB. Raise it, or set training.max_rows to " in problem
    fitting = int(problem.split("training.max_rows to ")[1].split(" ")[0].replace(",", ""))
    fits = estimate_needs(
        family, settings, inputs, LABEL, dict.fromkeys(DATES, 10_000_000), DATES[:28], max_rows=fitting, max_judged=50_000
    )
    assert limits(memory=4 * GIB).find_problems(fits) == []
    assert fits.memory > 4 * fits.rows * 3
    in_parts = needs(10_000_000, inputs, "logistic", max_judged=50_000)
    assert limits(memory=4 * GIB).find_problems(in_parts) == []


def test_the_libraries_of_a_candidate_refuse_nothing(inputs: Inputs) -> None:
    """A pod may have less memory than a process maps: the kernel drops the pages of libraries."""
    found = needs(1000, inputs, "mlp")
    assert found.memory > 700 * 2**20
    assert limits(memory=256 * 2**20).find_problems(found) == []


def test_the_error_of_the_estimate_refuses_nothing(inputs: Inputs) -> None:
    found = needs(1000, inputs)
    check_needs(found, limits(found.min_scratch, int(found.min_memory / 1.29)), "It")
    assert len(limits(found.min_scratch - 1, int(found.min_memory / 1.31)).find_problems(found)) == 2


def test_a_training_on_one_machine_may_fill_the_disk_unless_a_limit_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_SCRATCH", str(tmp_path))
    pipeline = load_pipeline("flight_delays", REPO / "include/pipelines")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free={tmp_path: 12345}[path]))
    found = Limits.of(pipeline).scratch
    assert (found.size, found.source) == (12345, f"the disk of {tmp_path} has")
    resources = pipeline.training.resources.model_copy(update={"scratch": "3Gi"})
    limited = pipeline.model_copy(update={"training": pipeline.training.model_copy(update={"resources": resources})})
    found = Limits.of(limited).scratch
    assert (found.size, found.source) == (3 * GIB, "training.resources.scratch allows")
