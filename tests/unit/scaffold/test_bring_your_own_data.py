"""The page "Bring your own data": its commands do what it says, with the orders that it shows."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from scaffold_orders import csv_text, orders

from perennial.cli import run_command
from perennial.config.load import read_pipeline
from stack.config import REPO

PAGE = "docs/bring-your-own-data.md"


@pytest.fixture
def said(s3, place: Path, documented: Callable[[str, str], list[str]], capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Return what the first command of the page prints."""
    (place.parent / "exports" / "orders.csv").write_text(csv_text(orders()))
    program, *arguments = shlex.split(documented(PAGE, "sh")[0])
    assert program == ".venv/bin/perennial"
    assert run_command(arguments) == 0, capsys.readouterr().err
    yield capsys.readouterr().out
    for uri in list(s3.objects.list("s3://landing/returns/")):
        s3.delete(uri)


def test_the_first_command_prints_what_the_page_shows(said: str, documented: Callable[[str, str], list[str]]) -> None:
    for line in documented(PAGE, "text")[0].splitlines()[1:]:
        assert line.removesuffix(" …") in said
    assert documented(PAGE, "text")[1] in said


def test_the_other_commands_fit_the_new_pipeline(
    said: str, place: Path, documented: Callable[[str, str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, predict = documented(PAGE, "sh")[1:]
    (date,) = run.splitlines()
    assert f"  {date}" in said
    assert "  make up  # starts its model server" in said  # no stack runs beside this test
    assert run_command(["validate", "returns"]) == 0
    pipeline = read_pipeline(place / "returns" / "pipeline.yaml")
    assert str(pipeline.end) in date
    words = shlex.split(predict)
    record = json.loads(words[words.index("--record") + 1])
    assert set(record) == set(pipeline.inputs.request)
    printed = shlex.split(said.splitlines()[-2].strip())
    assert set(json.loads(printed[-1])) == set(record)
    assert json.loads(printed[-1])["date"] == record["date"] == str(pipeline.end + timedelta(days=1))


def test_the_page_quotes_the_errors_of_the_command() -> None:
    files = [*(REPO / "include/perennial/scaffold").glob("*.py"), REPO / "include/perennial/collect/dated_files.py"]
    code = "".join(path.read_text() for path in files)
    rows = [line.split("|")[1].strip(" `") for line in (REPO / PAGE).read_text().splitlines() if line.startswith("| `")]
    assert len(rows) >= 6
    for text in rows:
        for piece in text.replace("2 columns", "columns").replace("has 3 values, ", "… ").split("…"):
            assert piece.strip(" ,") in code, piece
