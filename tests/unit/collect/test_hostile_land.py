"""Hostile files through `perennial land`: collect accepts them with the rows that Python's csv finds, or they are refused."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hostile_files import EXACT, HEADER, REFUSED, Files, exact_files, refused_files

from perennial.collect.collect import collect
from perennial.collect.land import land_drop
from perennial.config.pipeline import Pipeline
from perennial.errors import RefusedError
from perennial.lake.lake import Lake

DAY = date(2026, 3, 2)
MUST_LAND = {
    "no line feed at the end", "CRLF", "blank lines", "all quoted", "quotes in the middle", "CR in quotes", "byte order mark",
    "many tiny files", "gzip", "gzip in members", "gzip with zeros behind", "gzip beside plain", "two marks in two files",
    "CRLF in one file, LF in the other", "a last row without line feed in the middle", "year 0", "label of signs", "short row",
}  # fmt: skip
"""Cells and rows are the matter of clean, which quarantines them by name."""


@pytest.fixture
def lake(s3, pipeline_factory: Callable[..., Pipeline]) -> Lake:
    """Return a lake whose source has the columns of the hostile files."""

    def edit(document: dict[str, Any]) -> None:
        columns = {name: {"type": "string"} for name in HEADER}
        document["sources"]["readings"].update(columns=columns, key=["id"], min_rows=0)

    return s3.open_lake(pipeline_factory(edit))


def count_rows(path: Path) -> int:
    """Return the number of rows that Python's csv finds."""
    body = path.read_bytes()
    text = (gzip.decompress(body) if path.suffix == ".gz" else body).decode("utf-8-sig")
    return sum(bool(record) for record in csv.reader(io.StringIO(text, newline=""), strict=True)) - 1


@pytest.mark.parametrize("case", [case for case in (*EXACT, *REFUSED) if "name" not in case])
def test_a_hostile_file_lands_whole_or_is_refused(lake: Lake, tmp_path: Path, case: str) -> None:
    files: Files = exact_files(case)[0] if case in EXACT else refused_files(case)[0]
    paths = [tmp_path / name for name, body in files.items() if "/" not in name and not body.startswith(b"->")]
    for path in paths:
        path.write_bytes(files[path.name])
    paths = [path for path in paths if path.name.endswith((".csv", ".gz"))]
    result: dict[str, Any] | RefusedError
    try:
        result = land_drop(lake, "readings", DAY, paths)
    except RefusedError as error:
        result = error
    if isinstance(result, RefusedError):
        assert case not in MUST_LAND, result
        assert all(len(problem) < 300 for problem in result.problems)
        assert list(lake.objects.list(lake.pipeline.sources["readings"].drop_uri(DAY))) == []
    else:
        assert result.rows == sum(map(count_rows, paths))
        assert collect(lake, DAY).rows_landed == {"readings": result.rows}
