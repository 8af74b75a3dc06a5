"""pipeline.yaml: what it may say, and that everything else is refused with its line and the nearest right word."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from perennial.errors import PipelineRefusedError
from perennial.pipeline_file import load_pipeline, pipeline_names, read_pipeline
from stack.config import REPO

TEXT = (REPO / "tests/pipelines/machine_faults/pipeline.yaml").read_text()


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that reads a YAML text as machine_faults and returns why it is refused."""
    folder = tmp_path / "machine_faults"
    shutil.copytree(REPO / "tests/pipelines/machine_faults", folder)

    def read(text: str) -> str:
        (folder / "pipeline.yaml").write_text(text)
        with pytest.raises(PipelineRefusedError) as refused:
            read_pipeline(folder / "pipeline.yaml")
        return str(refused.value)

    return read


@pytest.mark.parametrize("name", pipeline_names(REPO / "include/pipelines"))
def test_every_pipeline_of_the_repository_is_valid(name: str) -> None:
    assert load_pipeline(name, REPO / "include/pipelines").name == name


def test_reads_values(pipeline_factory) -> None:
    pipeline = pipeline_factory()
    assert sorted(pipeline.inputs.numbers) == ["pressure", "temperature"]
    assert sorted(pipeline.inputs.texts) == ["machine", "mode"]
    assert pipeline.inputs.request["pressure"].nullable
    assert pipeline.sources["readings"].drop_uri(date(2026, 3, 1)).endswith("date=2026-03-01/")
    assert pipeline.calendar.min_days == 5
    assert list(pipeline.sql_files("analysis")) == ["faults_by_mode"]


CASES: dict[str, tuple[str, str, list[str]]] = {
    "unknown key": (
        "title: Machines",
        "titel: Machines",
        ["line 2: titel: unknown key. Did you mean 'title'?", "title: missing"],
    ),
    "unknown key below": ("min_rows: 50", "min_row: 50", ["sources.readings.min_row: unknown key. Did you mean 'min_rows'?"]),
    "wrong type": ("window_days: 4", 'window_days: "4"', ["training.window_days: expected", "found '4'"]),
    "wrong word": ("type: timestamp", "type: timestmp", ["Did you mean 'timestamp'?"]),
    "task": ("task: binary", "task: regression", ["task: expected 'binary', found 'regression'"]),
    "candidate": ("[mlp, logistic]", "[mlp, logistics]", ["Did you mean 'logistic'?"]),
    "candidate twice": ("[mlp, logistic]", "[mlp, mlp]", ["each may stand there once"]),
    "time zone": ("time_zone: UTC", "time_zone: Mars/Olympus", ["no such time zone"]),
    "name": ("name: machine_faults", "name: other", ["line 1: name 'other', but the folder is 'machine_faults'"]),
    "name letters": ("name: machine_faults", "name: ../x", ["a name is 1 to 40 characters"]),
    "date": ("start: 2026-03-01", "start: 2026-02-31", ["not valid YAML"]),
    "end before start": ("start: 2026-03-01", "start: 2026-03-01\nend: 2026-02-01", ["end 2026-02-01 is before start"]),
    "uri without date": ("date={date}/", "today/", ["{date} exactly once"]),
    "uri elsewhere": ("s3://landing/machine", "file:///etc/machine", ["expected an S3 address"]),
    "uri upwards": ("s3://landing/machine_faults", "s3://landing/../x", ["expected an S3 address"]),
    "range": ("range: [-50, 200]", "range: [200, -50]", ["the first number is greater"]),
    "range of text": ("max_length: 8", "range: [1, 2]", ["range is for integer and double, not for string"]),
    "key": ("key: [reading_id]", "key: [reading]", ["key column 'reading' is not among columns"]),
    "column name": ("measured_at:", "Measured At:", ["a column is lower-case letters"]),
    "label in request": ("label: {column: fault", "label: {column: mode", ["the model would see the answer"]),
    "derived": ("ratio(temperature, pressure)", "ratoi(temperature, pressure)", ["Did you mean 'ratio'?"]),
    "derived column": ("ratio(temperature, pressure)", "ratio(temperature, mode)", ["'mode' is neither a numeric"]),
    "slices": ("slices: [mode]", "slices: [temperature]", ["gate.slices: 'temperature' is not a request field of type category"]),
    "min_days": ("min_days: 5", "min_days: 50", ["no date could ever train"]),
    "share": ("max_quarantine_share: 0.05", "max_quarantine_share: 5", ["max_quarantine_share"]),
    "duplicate key": ("owner: tests", "owner: tests\nowner: me", ["line 4: owner stands there twice"]),
    "alias": ("owner: tests", "owner: &a tests\ntags: [*a]", ["aliases (*name) are not allowed"]),
    "not YAML": ("owner: tests", "owner: [tests", ["not valid YAML"]),
    "python tag": ("owner: tests", "owner: !!python/object/apply:os.system [id]", ["not valid YAML"]),
    "lookup without file": (
        "  derived:",
        "  lookups: {rates: {key: [mode], values: [rate]}}\n  derived:",
        ["no file lookups/rates.sql"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refuses(refusal: Callable[[str], str], case: str) -> None:
    old, new, expected = CASES[case]
    assert TEXT.count(old) >= 1
    found = refusal(TEXT.replace(old, new, 1))
    for text in expected:
        assert text in found


@pytest.mark.parametrize(
    ("text", "expected"), [("", "expected a mapping"), ("- a", "expected a mapping"), ("a: 1\n" * 300_000, "allowed are")]
)
def test_refuses_what_is_no_pipeline(refusal: Callable[[str], str], text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_all_problems_at_once(refusal: Callable[[str], str]) -> None:
    found = refusal(TEXT.replace("title:", "titel:").replace("min_rows: 50", "min_rows: many").replace("task: binary", "task: x"))
    assert " problems\n" in found
    for text in ("titel: unknown key", "title: missing", "min_rows", "task: expected 'binary'"):
        assert text in found


def test_sql_that_belongs_to_nothing_is_refused(pipeline_factory, tmp_path: Path) -> None:
    folder = pipeline_factory().folder
    (folder / "sources").mkdir()
    (folder / "sources" / "reading.sql").write_text("SELECT 1")
    with pytest.raises(PipelineRefusedError, match=r"sources/reading\.sql belongs to nothing.*Did you mean 'readings'"):
        read_pipeline(folder / "pipeline.yaml")


def test_missing_features_sql_is_refused(pipeline_factory) -> None:
    folder = pipeline_factory().folder
    (folder / "features.sql").unlink()
    with pytest.raises(PipelineRefusedError, match=r"features\.sql is missing"):
        read_pipeline(folder / "pipeline.yaml")


def test_unknown_pipeline_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(PipelineRefusedError, match="Did you mean 'machine_faults'"):
        load_pipeline("machine_fault", REPO / "tests/pipelines")


def test_edit_changes_the_document(pipeline_factory) -> None:
    def shorter(document: dict[str, Any]) -> None:
        document["training"]["window_days"] = 3

    assert pipeline_factory(shorter).training.window_days == 3
