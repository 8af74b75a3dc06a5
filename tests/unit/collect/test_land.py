"""Landing one's own files: the command, and the program of the how-to, with the pipeline of the tutorial."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from perennial.cli import run_command
from perennial.collect.collect import collect
from perennial.collect.land import land_drop
from perennial.config.load import read_pipeline
from perennial.errors import RefusedError
from perennial.lake.lake import Lake

DAY = date(2026, 1, 31)
HOW_TO = "docs/how-to/land-a-drop.md"
CSV = b'order_id,country,amount,is_returned\n1,DE,9.5,true\n2,"F\nR",3,\n'


@pytest.fixture
def folder(documented, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder of the tutorial's pipeline."""
    folder = tmp_path / "pipelines" / "returned_orders"
    (folder / "lookups").mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(documented("docs/tutorial.md", "yaml")[0])
    features, lookup = documented("docs/tutorial.md", "sql")
    (folder / "features.sql").write_text(features)
    (folder / "lookups" / "country_rates.sql").write_text(lookup)
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def lake(s3, folder: Path) -> Lake:
    """Return its lake; nothing has landed."""
    lake = s3.open_lake(read_pipeline(folder / "pipeline.yaml"))
    for uri in list(s3.objects.list(lake.pipeline.sources["orders"].drop_uri(DAY))):
        s3.delete(uri)
    return lake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv.gz"
    path.write_bytes(gzip.compress(CSV))
    return path


def landed(lake: Lake) -> list[str]:
    folder = lake.pipeline.sources["orders"].drop_uri(DAY)
    return [uri.removeprefix(folder) for uri in lake.objects.list(folder)]


def accepted_rows(lake: Lake) -> int:
    rows: int = collect(lake, DAY).rows_landed["orders"]
    return rows


def test_documented_command_lands_a_drop_that_collect_accepts(lake: Lake, file: Path, documented, capsys) -> None:
    program, *arguments = shlex.split(documented(HOW_TO, "sh")[0])
    assert program == ".venv/bin/perennial"
    assert run_command(arguments) == 0, capsys.readouterr().err
    assert accepted_rows(lake) == 2
    assert run_command([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["outcome"] == "unchanged"


def test_documented_program_lands_the_same_drop(lake: Lake, file: Path, documented) -> None:
    program = documented(HOW_TO, "python")[0]
    subprocess.run([sys.executable, "-c", program], cwd=file.parent, check=True, timeout=60)
    assert accepted_rows(lake) == 2
    assert land_drop(lake, "orders", DAY, [file])["outcome"] == "unchanged"


def test_another_drop_is_replaced_only_when_told(lake: Lake, file: Path, tmp_path: Path) -> None:
    land_drop(lake, "orders", DAY, [file])
    other = tmp_path / "more.csv"
    other.write_bytes(CSV + b"3,AT,1,false\n")
    with pytest.raises(RefusedError, match="--replace"):
        land_drop(lake, "orders", DAY, [other])
    assert accepted_rows(lake) == 2
    assert land_drop(lake, "orders", DAY, [other], replace=True)["outcome"] == "done"
    assert landed(lake) == ["_MANIFEST.json", "more.csv"]
    assert accepted_rows(lake) == 3


def test_interrupted_landing_is_finished_by_landing_again(lake: Lake, s3, file: Path) -> None:
    s3.put(lake.pipeline.sources["orders"].drop_uri(DAY) + file.name, b"half")
    assert land_drop(lake, "orders", DAY, [file])["outcome"] == "done"
    assert accepted_rows(lake) == 2


def test_strange_files_are_not_mixed_with_a_drop(lake: Lake, s3, file: Path) -> None:
    s3.put(lake.pipeline.sources["orders"].drop_uri(DAY) + "other.csv", CSV)
    with pytest.raises(RefusedError, match=r"other\.csv"):
        land_drop(lake, "orders", DAY, [file])


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("missing.csv", None, "no such file"),
        ("my orders.csv", CSV, "a file name may hold"),
        ("orders.txt", CSV, "a file name may hold"),
        ("orders.csv", CSV.replace(b"amount", b"amuont"), "'amount' was renamed"),
        ("orders.csv", CSV.splitlines(keepends=True)[0], "0 rows, expected at least 1"),
        ("orders.csv", b"", "there is no header"),
        ("orders.csv", CSV.decode().encode("utf-16"), "UTF-16"),
        ("orders.csv.gz", CSV, "not gzip"),
    ],
)
def test_what_collect_would_refuse_is_not_landed(lake: Lake, tmp_path: Path, name: str, body: bytes | None, problem: str) -> None:
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(RefusedError, match=problem):
        land_drop(lake, "orders", DAY, [tmp_path / name])
    assert landed(lake) == []


def test_same_content_twice_is_refused(lake: Lake, file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv.gz"
    copy.write_bytes(file.read_bytes())
    with pytest.raises(RefusedError, match="the same name or the same content"):
        land_drop(lake, "orders", DAY, [file, copy])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["returned_order", "orders", "2026-01-31"], "Did you mean 'returned_orders'?"),
        (["returned_orders", "order", "2026-01-31"], "Did you mean 'orders'?"),
        (["returned_orders", "orders", "2025-12-31"], "outside its dates"),
        (["returned_orders", "orders", "2026-02-01"], "outside its dates"),
    ],
)
def test_errors_of_the_command(folder: Path, file: Path, capsys, arguments: list[str], text: str) -> None:
    def said(words: list[str]) -> dict[str, Any]:
        assert run_command([*words, "--json"]) == 1
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    assert text in said(["land", *arguments, str(file)])["error"]
