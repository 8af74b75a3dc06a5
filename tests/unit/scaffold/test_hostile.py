"""Hostile files: each is refused by one clear sentence, or read exactly; nothing is written for a refused one."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import csv_text

from perennial.cli import run_command
from perennial.config.load import read_pipeline

Call = Callable[..., tuple[int, dict[str, Any]]]
HEADER = "id,day,size,kind,late"
DAY = date(2026, 1, 1)


def lines(count: int = 400) -> list[list[Any]]:
    return [[n, DAY + timedelta(days=n // 10), n % 7, "ab"[n % 2], "yes" if n % 3 else "no"] for n in range(count)]


TEXT = csv_text(lines(), HEADER)


@pytest.mark.parametrize(
    ("body", "options", "text"),
    [
        (b"", [], "is empty. Expected a header and rows"),
        (f"{HEADER}\n".encode(), [], "a header without rows"),
        (TEXT.partition("\n")[2].encode(), [], "no header: the first row holds the value '0'"),
        (TEXT.replace("size", "id").encode(), [], "column 'id' is in the header 2 times"),
        (("," + TEXT.replace("\n", "\n9,")).removesuffix("9,").encode(), [], "column 1 has no name (pandas writes its index so"),
        (b"late\nyes\nno\n", [], "one column only"),
        (TEXT.replace(",", "&").encode(), [], "one column only"),
        (bytes(range(256)) * 10, [], "a binary file, it holds a NUL byte"),
        (b"PAR1" + b"\0" * 100, [], "the format is Parquet"),
        (b"PK\x03\x04" + b"\0" * 100, [], "a zip archive, such as an Excel workbook"),
        (b'{"id": 1, "late": "yes"}\n', [], "the format is JSON"),
        (b'[\n  {"id": 1}]\n', [], "the format is JSON"),
        (gzip.compress(TEXT.encode()), [], "compressed, though its name does not end in .gz"),
        (TEXT.encode(), ["--label", "latte"], "No column 'latte'. Did you mean 'late'?"),
        (TEXT.replace("no", "perhaps").replace("yes", "yes").replace("0,a,yes", "0,a,no").encode(), [], "3 values"),
        (TEXT.replace("yes", "no").encode(), [], "expected two values, found 'no' only"),
        (TEXT.replace("yes", "").replace("no", "").encode(), [], "expected two values, found no value only"),
        (TEXT.encode(), ["--positive", "yess"], "has no value 'yess'. Did you mean 'yes'?"),
        (TEXT.replace("-", "/").encode(), [], "No column has a date in each row: 'day' has dates of the form %Y/%m/%d"),
        (TEXT.replace("2026-01-01", "").encode(), ["--date-column", "day"], "10 rows of the sample have no date"),
        (TEXT.encode(), ["--date-column", "size"], "'size' is no column of dates, found"),
        (TEXT.replace("2026-", "0001-").encode(), [], "is outside the dates 1970-01-01 to 2200-12-31"),
        (TEXT[: TEXT.index("10,")].encode(), ["--key", "id"], "All rows are of 2026-01-01, expected two dates or more"),
        (TEXT.encode(), ["--key", "kind"], "rows have the key of an earlier row"),
        (TEXT.encode(), ["--key", "knid"], "Did you mean 'kind'?"),
        (TEXT.encode(), ["--key", "id,late"], "cannot be part of the key"),
        (TEXT.replace("\n7,", "\n,").encode(), ["--key", "id"], "'id' has no value in 1 rows"),
        ((TEXT + "1,2\n").encode(), [], "row 401 has 2 cells, expected 5 as in the header"),
        ((TEXT + '1,2,3,"x"y,no\n').encode(), [], "row 401: text after a closing quote"),
        ((TEXT + '1,2,3,"x,no\n').encode(), [], "row 401: a quote is not closed"),
        (TEXT.replace("\n", "\r").encode(), [], "a carriage return (CR) alone"),
        (TEXT.encode(), ["--time-zone", "Mars/Base"], "no such time zone"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_sentence(call: Call, place: Path, body: bytes, options: list[str], text: str) -> None:
    (place.parent / "exports" / "a.csv").write_bytes(body)
    code, answer = call("sales", "--from", "exports/a.csv", *([] if "--label" in options else ["--label", "late"]), *options)
    assert (code, text in answer["error"]) == (1, True), answer
    assert "Traceback" not in answer["error"]
    assert len(answer["error"]) < 700
    assert not place.exists() or list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (gzip.compress(TEXT.encode())[:-20], "truncated: the gzip data ends early"),
        (TEXT.encode(), "not gzip, though its name ends in .gz"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(bytes(5_000_000)), "a binary file, it holds a NUL byte"),
    ],
    ids=["truncated", "plain", "empty", "bomb"],
)
def test_a_damaged_archive_is_one_sentence(call: Call, place: Path, body: bytes, text: str) -> None:
    (place.parent / "exports" / "a.csv.gz").write_bytes(body)
    code, answer = call("sales", "--from", "exports/a.csv.gz", "--label", "late")
    assert (code, text in answer["error"]) == (1, True), answer


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "Sales", "sales-1", "s" * 41, "", "default", "sales_"])
def test_a_name_that_is_no_folder_of_a_pipeline_is_refused(call: Call, place: Path, name: str) -> None:
    (place.parent / "exports" / "a.csv").write_text(TEXT)
    code, answer = call(name, "--from", "exports/a.csv", "--label", "late")
    assert code == 1
    assert "cannot be a pipeline" in answer["error"]
    assert sorted(path.name for path in place.parent.iterdir()) == ["exports"]


def test_other_headers_and_folders_are_named(call: Call, place: Path) -> None:
    exports = place.parent / "exports"
    assert "found a folder" in call("sales", "--from", "exports", "--label", "late")[1]["error"]
    assert "found none" in call("sales", "--from", "exports/*.csv", "--label", "late")[1]["error"]
    (exports / "a.csv").write_text(TEXT)
    (exports / "b.csv").write_text(TEXT.replace("kind", "sort"))
    assert (
        "exports/b.csv: its header differs from that of exports/a.csv"
        in call("sales", "--from", "exports/*.csv", "--label", "late")[1]["error"]
    )


NAMES = ["order", "select", "group", "from", "null", "true", "table", "end", "timestamp", "interval", "values", "user", "_a"]


def test_names_that_are_words_of_sql_or_yaml_are_used_as_they_are(
    call: Call, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[*line, *[(line[0] * (n + 3)) % 17 for n, _ in enumerate(NAMES)]] for line in lines()]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, f"{HEADER},{','.join(NAMES)}"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late", "--key", "id,null,true")
    assert code == 0, answer
    assert set(NAMES) <= set(answer["request"])
    assert run_command(["validate", "sales", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pipelines"][0] == {"name": "sales", "valid": True, "problem": None, "doubts": []}


@pytest.mark.parametrize("count", [997, 1500])
def test_a_thousand_columns(call: Call, place: Path, count: int) -> None:
    chance = random.Random("wide")
    header = ["id", "day", "late", *(f"measure_{number}" for number in range(count))]
    rows = [[n, DAY + timedelta(days=n // 10), n % 3 == 0, *(chance.randrange(99) for _ in range(count))] for n in range(300)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, ",".join(header)))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late")
    assert code == 0, answer
    assert len(read_pipeline(place / "sales" / "pipeline.yaml").inputs.request) == min(count + 1, 999)


def test_texts_of_the_data_are_never_yaml_or_sql(call: Call, place: Path) -> None:
    hostile = [
        'a" }',
        "# x",
        "a: b",
        "'; DROP TABLE records; --",
        "{{x}}",
        "*x",
        "&x",
        "!!python/object",
        "é\t",
        "`",
        "\\",
        "[",
        "a\nb",
    ]
    rows = [[n, DAY + timedelta(days=n // 50), hostile[n % len(hostile)], n % 7, n % 3 == 0] for n in range(2000)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "id,day,text,size,late"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late")
    assert code == 0, answer
    column = read_pipeline(place / "sales" / "pipeline.yaml").sources["records"].columns["text"]
    assert column.max_length >= max(map(len, hostile))
    sql = "".join(path.read_text() for path in (place / "sales").rglob("*.sql"))
    assert "DROP" not in sql


def test_a_label_whose_value_is_no_plain_word_is_refused(call: Call, place: Path) -> None:
    (place.parent / "exports" / "a.csv").write_text(TEXT.replace("no", "n'o"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late", "--positive", "n'o")
    assert (code, "is not a plain word" in answer["error"]) == (1, True)


def test_all_null_and_constant_columns_are_no_inputs(call: Call, place: Path) -> None:
    rows = [[*line, "", "NA", "same"] for line in lines()]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, f"{HEADER},empty,na,same"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late")
    assert (code, list(answer["request"])) == (0, ["size", "kind"])
    assert "is empty in every row" in answer["left_out"]["empty"]
    assert "is empty in every row" in answer["left_out"]["na"]
    assert "the same value in every row of the sample, 'same'" in answer["left_out"]["same"]
