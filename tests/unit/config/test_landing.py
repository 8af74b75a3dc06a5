"""The places in which a pipeline's tables may lie: neither lake nor other pipelines' folders, or only where a setting says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.cli import run_command
from perennial.config.landing import place_problem
from perennial.config.load import load_pipeline
from perennial.config.pipeline import Pipeline
from perennial.errors import PipelineRefusedError

MINE, OTHERS = "mine", ("theirs", "flight_delays")


def problem(uri: str) -> str:
    return place_problem(uri, MINE, lambda name: name in OTHERS) or ""


@pytest.fixture(autouse=True)
def _default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_LAKE", "s3://perennial")
    monkeypatch.delenv("PERENNIAL_LANDING", raising=False)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://landing/mine/orders/date={date}/",
        "s3://landing/orders/date={date}/",
        "s3://company-exports/any/where/date={date}/",
        "s3://perennial-landing/mine/date={date}/",
        "s3://landing/mine/theirs/planes.csv",
        "s3://landing/team/mine/theirs/planes.csv",
        "s3://planes/planes.csv",
        "s3://theirs/planes.csv",
    ],
)
def test_without_a_setting_other_places_are_free(uri: str) -> None:
    assert problem(uri) == ""


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("s3://perennial/main/flight_delays/raw/0f.csv.gz", "is in the lake, s3://perennial"),
        ("s3://perennial/date={date}/", "is in the lake"),
        ("s3://perennial//main/x.csv", "is in the lake"),
        ("s3://perennial/./main/x.csv", "is in the lake"),
        ("s3://landing/theirs/orders/date={date}/", "is in the folder of pipeline 'theirs'"),
        ("s3://landing//theirs/orders/date={date}/", "is in the folder of pipeline 'theirs'"),
        ("s3://landing/./flight_delays/planes/planes.csv", "is in the folder of pipeline 'flight_delays'"),
        ("s3://landing/team/theirs/orders/date={date}/", "is in the folder of pipeline 'theirs'"),
        ("s3://landing/team//./theirs/mine/date={date}/", "is in the folder of pipeline 'theirs'"),
        ("s3://elsewhere/theirs/planes.csv", "is in the folder of pipeline 'theirs'"),
    ],
)
def test_without_a_setting_the_lake_and_other_pipelines_are_not(uri: str, text: str) -> None:
    assert text in problem(uri)


def test_lake_in_a_folder_of_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_LAKE", "s3://data/lake/")
    assert "is in the lake" in problem("s3://data/lake/main/x.csv")
    assert "is in the lake" in problem("s3://data//lake/main/x.csv")
    assert problem("s3://data/lakes/x.csv") == ""
    assert problem("s3://data/landing/x.csv") == ""


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("s3://landing/mine/orders/date={date}/", True),
        ("s3://shared/flights/date={date}/", True),
        ("s3://shared/flights.csv", True),
        ("s3://landing/theirs/orders/date={date}/", False),
        ("s3://landing/mine2/date={date}/", False),
        ("s3://landing/mine{date}/", False),
        ("s3://other/mine/date={date}/", False),
        ("s3://perennial/exports/x.csv", True),
        ("s3://perennial/main/x.csv", False),
    ],
)
def test_the_setting_lists_all_places(uri: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_LANDING", "s3://landing/{pipeline}/, s3://shared,s3://perennial/exports/")
    assert (problem(uri) == "") is allowed


def test_prefix_around_the_lake_does_not_open_the_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_LAKE", "s3://data/lake")
    monkeypatch.setenv("PERENNIAL_LANDING", "s3://data/")
    assert problem("s3://data/flights/x.csv") == ""
    assert "is in the lake" in problem("s3://data/lake/main/x.csv")


def use(folder: Path, name: str, uri: str) -> Path:
    """Copy a pipeline under another name, with its source at an address."""
    shutil.copytree(folder, folder.parent / name)
    file = folder.parent / name / "pipeline.yaml"
    document: dict[str, Any] = {**yaml.safe_load(file.read_text()), "name": name}
    next(iter(document["sources"].values()))["uri"] = uri
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def test_every_command_refuses_the_pipeline_and_names_the_line(
    pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = pipeline_factory().folder
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(folder.parent))
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    file = use(folder, "thief", "s3://landing/machine_faults/readings/date={date}/")
    line = next(
        n for n, text in enumerate(file.read_text().splitlines(), 1) if "uri: s3://landing/machine_faults/readings" in text
    )
    expected = (
        f"line {line}: sources.readings.uri: s3://landing/machine_faults/readings/date={{date}}/ is in the folder of pipeline"
    )
    for words in (
        ["validate", "thief"],
        ["run", "thief", "--date", "2026-03-09"],
        ["land", "thief", "readings", "2026-03-09", "x.csv"],
    ):
        assert run_command(words) == 1
        captured = capsys.readouterr()
        assert expected in captured.out + captured.err, words
    assert run_command(["validate", "machine_faults"]) == 0
    monkeypatch.setenv("PERENNIAL_LANDING", "s3://landing/")
    load_pipeline("thief", folder.parent)


def test_a_reference_in_the_lake_is_refused(pipeline_factory: Callable[..., Pipeline]) -> None:
    def steal(document: dict[str, Any]) -> None:
        next(iter(document["references"].values()))["uri"] = "s3://perennial/main/other/raw/0f.csv.gz"

    with pytest.raises(
        PipelineRefusedError, match=r"references\.\w+\.uri: s3://perennial/main/other/raw/0f\.csv\.gz is in the lake"
    ):
        pipeline_factory(steal, name="flight_delays")
