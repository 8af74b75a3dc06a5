"""Generated files, tidy and not: each makes a pipeline that validates, or is refused by name; never an error of our own."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import csv_text

from perennial.config.load import read_pipeline
from perennial.sql.check import check_sql

pytestmark = pytest.mark.exhaustive

Call = Callable[..., tuple[int, dict[str, Any]]]
FILES = 120
NAMES = [
    "a",
    "A b",
    "order",
    "date",
    "as_of",
    "x.y",
    "é",
    "from",
    "__d",
    "a_b",
    "A B",
    '"q"',
    "n;m",
    "long" * 40,
    "%",
    "#",
    "{",
]
TASKS = [("two", []), ("few", ["--classes"]), ("double", ["--predict", "median"])]
"""A kind of label, and the options for it."""

NULLS = ["", "", "NA", "null", "-", "NaN"]


def values(chance: random.Random, kind: str, rows: int) -> list[str]:
    """Return the cells of one column."""
    pools: dict[str, Callable[[], str]] = {
        "integer": lambda: str(chance.randrange(-5, 500)),
        "huge": lambda: str(chance.randrange(2**62, 2**65)),
        "double": lambda: f"{chance.uniform(-9, 9):.3g}",
        "flag": lambda: chance.choice(["true", "FALSE", "0"]),
        "two": lambda: chance.choice(["yes", "no"]),
        "text": lambda: "".join(chance.choice("ab,;\"'\\ \n#:{}é\U0001f600") for _ in range(chance.randrange(6))),
        "code": lambda: f"{chance.randrange(40):03}",
        "time": lambda: f"{chance.randrange(25):02}:{chance.randrange(60):02}",
        "day": lambda: str(date(2026, 1, 1) + timedelta(days=chance.randrange(90))),
        "moment": lambda: (
            f"2026-01-{chance.randrange(1, 32):02}T{chance.randrange(24):02}:15:00{chance.choice(['Z', '', '+01:00'])}"
        ),
        "null": lambda: chance.choice(NULLS),
        "same": lambda: "same",
        "few": lambda: chance.choice(["x", "y: 1", "# z", "a\nb", "{w}", "n'o"]),
    }
    nulls = 0.0 if kind in ("two", "few", "day") else chance.choice([0.0, 0.0, 0.1])
    return [chance.choice(NULLS) if chance.random() < nulls else pools[kind]() for _ in range(rows)]


def make_file(chance: random.Random, kind: str) -> tuple[bytes, str]:
    """Return the bytes of a file, and the name of its label, a column of this kind."""
    rows = chance.choice([1, 3, 50, 400])
    kinds = [
        kind,
        "day",
        *chance.choices("integer huge double flag text code time day moment null same".split(), k=chance.randrange(6)),
    ]
    names = chance.sample(NAMES, len(kinds))
    label = names[0]
    columns = [values(chance, kind, rows) for kind in kinds]
    if chance.random() < 0.8:
        names, kinds, columns = [*names, "serial"], [*kinds, "serial"], [*columns, [str(row) for row in range(rows)]]
    order = chance.sample(range(len(kinds)), len(kinds))
    delimiter, quote = chance.choice(",,,;\t|"), chance.choice('""\'')
    lines = [[columns[index][row] for index in order] for row in range(rows)]
    text = csv_text([[names[index] for index in order], *lines], "", delimiter=delimiter, quotechar=quote).partition("\n")[2]
    if chance.random() < 0.2:
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice(['"', "\n", ",", "\r", "\0", "\\", "é"]) + text[place:]
    return text.encode(chance.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])), label


@pytest.mark.parametrize("block", range(4))
def test_a_generated_file_makes_a_valid_pipeline_or_is_refused_by_name(call: Call, place: Path, block: int) -> None:
    made = refused = 0
    for number in range(block, FILES, 4):
        kind, options = TASKS[number // 4 % 3]
        body, label = make_file(random.Random(f"new {number}"), kind)
        (place.parent / "exports" / "a.csv").write_bytes(body)
        code, answer = call("sales", "--from", "exports/a.csv", "--label", label, *options)
        if code:
            error = answer["error"]
            assert ("Error:" not in error, "does not validate" not in error) == (True, True), (number, error)
            assert not place.exists() or list(place.iterdir()) == []
            refused += 1
            continue
        pipeline = read_pipeline(place / "sales" / "pipeline.yaml")
        assert check_sql(pipeline).doubts == []
        assert pipeline.label.column not in pipeline.inputs.request
        shutil.rmtree(place / "sales")
        made += 1
    assert made > 2
    assert refused > 2
