"""
Every cell is read as Python's csv and pyarrow read it, or the file or row is refused by name.

Thousands of files of all dialects: collect checks each, and one Spark reads those that it accepts.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import compress
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pyarrow as pa
import pytest
from cell_texts import BERLIN, CELLS
from csv_files import File, make_files, make_long_files
from hostile_files import NOTES, write
from pyarrow import csv as arrow_csv
from pydantic import TypeAdapter, ValidationError
from spark_job import run_job

from perennial.collect.content import Content, read_content
from perennial.config.dialect import Csv
from perennial.config.values import Zone

FILES, LONG_FILES = 5_500, 12
HOSTILE = [File(Csv(), 3, write([["1", note, "3"]] * 2, list("abc")).encode()) for note in NOTES]
BY_LINES = [
    File(Csv(), 3, f"a,b,c{end}".encode() + "".join(f'{n},"x, ""{n}""",{"é" * 30}{end}' for n in range(8_000)).encode())
    for end in ("\n", "\r\n")
]
"""Files of two parts each."""
JOB = """
import json, sys
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from perennial.clean.files import CORRUPT, read_files
from perennial.clean.job_file import Dialect

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
by_lines = []
with open(sys.argv[1]) as groups, open(sys.argv[2], "w") as found:
    for line in groups:
        group = json.loads(line)
        reading = group["header"], group["line_end"], Dialect(**group["dialect"]), {name: name for name in group["header"]}
        cells = [f"cell_{name}" for name in (*group["header"], CORRUPT)]
        rows = read_files(spark, group["uris"], *reading).orderBy("object", "read_order").select("object", *cells).collect()
        for row in rows:
            found.write(json.dumps(list(row)) + "\\n")
        if group["by_lines"]:
            divided = read_files(spark, group["uris"], *reading, by_lines=True).orderBy("object", "block", "read_order")
            again = divided.select("object", *cells, "block").collect()
            differ = [list(row[:-1]) for row in again] != [list(row) for row in rows]
            by_lines.append([len(rows), sum(row["block"] > 0 for row in again), group["uris"][:3] if differ else []])

from perennial.clean.cells import typed
from perennial.spark.sql import local_rows, use_time_zone
from pyspark.sql import types as T

TEXT = T.StructType([T.StructField("number", T.IntegerType()), T.StructField("text", T.StringType())])
with open(sys.argv[3]) as file:
    cells = json.load(file)
values = {}
for zone, kind, decimal in sorted({tuple(cell[:3]) for cell in cells}):
    use_time_zone(spark, zone)
    of_kind = [(number, cell[3]) for number, cell in enumerate(cells) if cell[:3] == [zone, kind, decimal]]
    value = typed(kind, F.col("text"), decimal)
    shown = F.unix_micros(value) if kind == "timestamp" else value.cast("string")
    values |= {row[0]: row[1] for row in local_rows(spark, of_kind, TEXT).select("number", shown).collect()}
unknown = []
for zone in json.loads(sys.argv[4]):
    try:
        use_time_zone(spark, zone)
    except Exception:
        unknown.append(zone)
print("SAID " + json.dumps([[values[number] for number in range(len(cells))], unknown, by_lines]))
"""
MAY_BE_REFUSED = (
    "a NUL character",
    "a carriage return (CR) without a line feed",
    "its lines end in a carriage return (CR) alone",
    "line endings differ",
    "text after a closing quote",
)
"""Files that are refused even if other readers agree on them."""

Rows = list[list[str]]


@dataclass(slots=True)
class Comparison:
    """The results by file: refused, by kind; equal to both references; the number of refused rows."""

    refused: Counter[str] = field(default_factory=Counter)
    equal: int = 0
    refused_rows: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Read:
    """
    The comparison of all files, the values of the cells, and the time zones that Spark does not know.

    :param by_lines: for files that several tasks may share: rows, those of them behind the first part of a file, and the files
        of which the cells differ then
    """

    comparison: Comparison
    values: list[Any]
    unknown_zones: list[str]
    by_lines: list[tuple[int, int, list[str]]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp("readers")
    files = [*make_files(1, FILES), *make_long_files(2, LONG_FILES), *HOSTILE, *BY_LINES]
    contents = [read_content([file.body], compressed=False, max_bytes=2**30, dialect=file.dialect) for file in files]
    accepted = [number for number, content in enumerate(contents) if _fits(files[number], content)]
    found, values, unknown_zones, by_lines = _read_with_spark(folder, {number: files[number] for number in accepted}, contents)
    comparison = Comparison()
    for number, (file, content) in enumerate(zip(files, contents, strict=True)):
        _compare(file, content, found[number] if _fits(file, content) else None, comparison)
    return Read(comparison, values, unknown_zones, by_lines)


def _fits(file: File, content: Content) -> bool:
    return not content.problems and content.columns == tuple("abc"[: file.width])


def _read_with_spark(
    folder: Path, files: dict[int, File], contents: list[Content]
) -> tuple[dict[int, list[list[str | None]]], list[Any], list[str], list[Any]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for number, file in files.items():
        path = folder / f"{number}.csv"
        path.write_bytes(file.body)
        reading = {
            "dialect": file.dialect.model_dump(),
            "header": list("abc"[: file.width]),
            "line_end": contents[number].line_end,
            "by_lines": contents[number].by_lines and file.dialect.encoding != "utf-16",
        }
        groups[json.dumps(reading)].append(str(path))
    (folder / "groups").write_text("".join(json.dumps({**json.loads(key), "uris": uris}) + "\n" for key, uris in groups.items()))
    conf = ["--conf", "spark.sql.shuffle.partitions=2"]
    # A file of more than a million characters has several parts.
    conf += ["--conf", "spark.sql.files.maxPartitionBytes=400000", "--conf", "spark.sql.files.openCostInBytes=2000"]
    cells = [[BERLIN, kind.removesuffix(","), "," if kind.endswith(",") else ".", text] for kind, text, _ in CELLS]
    (folder / "cells").write_text(json.dumps(cells))
    zones = sorted(available_timezones())
    words = [*(str(folder / name) for name in ("groups", "found", "cells")), json.dumps(zones)]
    values, unknown, by_lines = run_job(folder, JOB, conf, words)
    found: dict[int, list[list[str | None]]] = defaultdict(list)
    with (folder / "found").open() as lines:
        for line in lines:
            name, *cells = json.loads(line)
            found[int(name.removesuffix(".csv"))].append(cells)
    return found, values, unknown, by_lines


def _compare(file: File, content: Content, found: list[list[str | None]] | None, comparison: Comparison) -> None:
    python, arrow = _read_with_python(file), _read_with_arrow(file)
    whole = None if python is None else [row for row in python if len(row) == file.width]
    if python is not None and arrow is not None and len(arrow) == len(whole or ()) and content.unclear:
        clear = [at not in content.unclear for at, row in enumerate(python, 1) if len(row) == file.width]
        whole, arrow = list(compress(whole or (), clear)), list(compress(arrow, clear))
    is_agreed = whole is not None and whole == arrow
    if found is None:
        kind = _kind(content, file)
        comparison.refused[kind] += 1
        if is_agreed and not kind.startswith(MAY_BE_REFUSED):
            comparison.wrong.append(f"refused ({kind}): {file.dialect.settings} {file.body[:200]!r}")
        return
    good = [
        ["" if cell is None else cell for cell in row[:-1]]
        for at, row in enumerate(found, 1)
        if row[-1] is None and at not in content.unclear
    ]
    if arrow is None and python == []:
        arrow = []  # pyarrow refuses a header that no line feed ends
    if python is None or len(found) != len(python) or not good == whole == arrow:
        comparison.wrong.append(f"{file.dialect.settings} {file.body[:200]!r}: {good} {whole} {arrow}"[:1000])
        return
    comparison.equal += 1
    comparison.refused_rows += len(found) - len(good)


def _kind(content: Content, file: File) -> str:
    problem = content.problems[0] if content.problems else "another header"
    place, _, kind = problem.partition(": ")
    return (kind if place.startswith(("row ", "the header", "the last line")) else problem).partition(",")[0][:60]


def _read_with_python(file: File) -> Rows | None:
    """Return the records after the header, without blank lines; None if Python refuses the file."""
    dialect = file.dialect
    try:
        text = file.body.decode("utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding)
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=dialect.delimiter,
            quotechar=dialect.quote,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            escapechar=dialect.escape,
            doublequote=dialect.escape is None,
            strict=True,
        )
        header, *rows = [row for row in reader if row] or [[]]
    except (csv.Error, UnicodeDecodeError):
        return None
    return rows if header == list("abc"[: file.width]) else None


def _read_with_arrow(file: File) -> Rows | None:
    """Return the records that have as many cells as the header; None if pyarrow refuses the file."""
    dialect, names = file.dialect, list("abc"[: file.width])
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(file.body),
            arrow_csv.ReadOptions(use_threads=False, block_size=2**26, encoding=dialect.encoding),
            arrow_csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                double_quote=dialect.escape is None and dialect.quote is not None,
                escape_char=dialect.escape or False,
                newlines_in_values=True,
                invalid_row_handler=lambda row: "skip",
            ),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return [list(row.values()) for row in table.to_pylist()] if table.column_names == names else None


def test_each_cell_of_a_file_is_equal_or_refused(read: Read) -> None:
    comparison = read.comparison
    assert comparison.wrong == []
    assert comparison.equal + comparison.refused.total() == FILES + LONG_FILES + len(HOSTILE) + len(BY_LINES)
    assert comparison.equal > 4_000
    assert comparison.refused_rows > 100
    assert len(comparison.refused) >= 6


def test_cells_of_a_file_that_several_tasks_may_share_are_those_of_one_task(read: Read) -> None:
    assert [names for _, _, names in read.by_lines if names] == []
    assert sum(rows for rows, _, _ in read.by_lines) > 17_000
    assert sum(later for _, later, _ in read.by_lines) > 4_000


def test_texts_are_values_of_their_type_or_of_none(read: Read) -> None:
    expected = [_micros(value) if kind == "timestamp" and value else value for kind, _, value in CELLS]
    wrong = [(cell, found) for cell, found, right in zip(CELLS, read.values, expected, strict=True) if found != right]
    assert wrong == []


def test_spark_knows_the_time_zones_of_a_pipeline(read: Read) -> None:
    assert [zone for zone in read.unknown_zones if _is_allowed(zone)] == []


def _micros(moment: str) -> int:
    since = datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


def _is_allowed(zone: str) -> bool:
    try:
        TypeAdapter(Zone).validate_python(zone)
    except ValidationError:
        return False
    return True
