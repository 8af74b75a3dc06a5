"""Hostile files: each is refused by one clear sentence, or read exactly; nothing is written for a refused one."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import csv_text

from perennial.cli import run_command
from perennial.config.dialect import Csv
from perennial.config.load import read_pipeline
from perennial.scaffold.files import File
from perennial.scaffold.sample import read_sample
from stack.config import REPO

pytestmark = pytest.mark.exhaustive

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
        (TEXT.replace("yes", "no").encode(), [], "expected two values or more, found 'no' only"),
        (TEXT.replace("yes", "").replace("no", "").encode(), [], "expected two values or more, found no value only"),
        (TEXT.encode(), ["--positive", "yess"], "has no value 'yess'. Did you mean 'yes'?"),
        (TEXT.replace("2026-01-", "01 Jan ").encode(), [], "No column has a date in each row. Write dates in digits"),
        (TEXT.replace("2026-01-01", "31.1.26").encode(), [], "'day' has none in 10 rows, such as '31.1.26'"),
        (TEXT.replace("2026-01-", "1/2026/").encode(), [], "No column has a date in each row"),
        (TEXT.encode(), ["--date-format", "dd.MM.yyyy"], "No column has dates of the form dd.MM.yyyy in each row"),
        (TEXT.encode(), ["--date-format", "DD.MM.YYYY"], "--date-format: 'DD' is no part of a format"),
        (TEXT.encode(), ["--date-format", "d" * 5000], "--date-format: 'ddd"),
        (TEXT.replace("2026-01-01", "").encode(), ["--date-column", "day"], "10 rows of the sample have no date"),
        (TEXT.encode(), ["--date-column", "size"], "'size' is no column of dates, found"),
        (TEXT.replace("2026-", "0001-").encode(), [], "is outside the dates 1970-01-01 to 2200-12-31"),
        (TEXT[: TEXT.index("10,")].encode(), ["--key", "id"], "All rows are of 2026-01-01, expected two dates or more"),
        (TEXT.encode(), ["--key", "kind"], "rows have the key of an earlier row"),
        (TEXT.encode(), ["--key", "knid"], "Did you mean 'kind'?"),
        (TEXT.encode(), ["--key", "id,late"], "cannot be part of the key"),
        (TEXT.replace("\n7,", "\n,").encode(), ["--key", "id"], "'id' has no value in 1 rows"),
        ((TEXT + "1,2\n" * 40).encode(), [], "row 401 has 2 cells, expected 5 as in the header; 40 of 440 rows"),
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
    assert "found none" in call("sales", "--from", "x" * 5000, "--label", "late")[1]["error"]
    assert "expected a text of printable characters" in call("sales", "--from", "exports/\x1b*", "--label", "late")[1]["error"]
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


@pytest.mark.parametrize(
    ("words", "positive"),
    [("ja nein", "ja"), ("Oui Non", "Oui"), ("WAHR FALSCH", "WAHR"), ("VERO FALSO", "VERO"), ("да нет", "да"), ("हाँ नहीं", "नहीं")],
)
def test_the_positive_value_is_known_in_several_languages_or_is_the_rarer_one(
    call: Call, place: Path, words: str, positive: str
) -> None:
    yes, no = words.split()
    (place.parent / "exports" / "a.csv").write_text(TEXT.replace("yes", yes).replace("no", no))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late")
    assert (code, answer["label"]["positive"]) == (0, positive)


def test_the_encoding_of_the_user_is_read(call: Call, place: Path) -> None:
    (place.parent / "exports" / "a.csv").write_text(TEXT)
    (place.parent / "exports" / "b.csv").write_bytes(TEXT.replace(",a,", ",é,").encode("latin-1"))
    words = ["--from", "exports/*.csv", "--label", "late", "--key", "id"]
    assert "the option --encoding" in call("sales", *words)[1]["error"]
    shutil.copy(place.parent / "exports" / "b.csv", place.parent / "exports" / "a.csv")
    (place.parent / "exports" / "b.csv").unlink()
    code, answer = call("sales", *words, "--encoding", "latin-1")
    assert (code, answer["csv"]) == (0, {"encoding": "latin-1"})


def test_dates_of_files_that_the_sample_leaves_out_count(call: Call, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.scaffold.sample.MAX_FILES", 10)  # the sample has Thursdays only
    for offset in range(70):
        rows = [[n, n % 7, "yes" if n % 3 else "no"] for n in range(40)]
        (place.parent / "exports" / f"{DAY + timedelta(days=offset)}.csv").write_text(csv_text(rows, "id,size,late"))
    code, answer = call("sales", "--from", "exports/{date}.csv", "--label", "late")
    assert (code, answer["dates"], answer["last"]) == (0, 70, "2026-03-11")
    pipeline = read_pipeline(place / "sales" / "pipeline.yaml")
    assert len(pipeline.calendar.data_days.weekdays) == 7
    assert pipeline.training.window_days == 63  # all dates before the holdout


def test_a_sample_of_long_texts_is_bounded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.scaffold.sample.MAX_KEPT", 20_000)
    rows = [[n, DAY + timedelta(days=n // 10), n % 7, "é" * 990, "yes" if n % 3 else "no"] for n in range(400)]
    path = place.parent / "exports" / "a.csv"
    path.write_text(csv_text(rows, HEADER))
    sample = read_sample([File(path)], Csv())
    kept = [int(row[0]) for row in sample.rows]
    assert 10 <= len(kept) <= 20
    assert kept[: sample.head] == list(range(sample.head))
    assert kept == sorted(set(kept))
    assert kept[-1] > 300
    assert sample.seen == 400


def test_what_is_not_read_is_named_with_its_reason(call: Call, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports = place.parent / "exports"
    (exports / "a.csv").write_text(TEXT)
    (exports / "b.csv").symlink_to("a.csv")
    (exports / "c.csv").symlink_to("nowhere")
    (exports / "old\x1b[31m.csv").mkdir()
    assert run_command(["new", "sales", "--from", "exports/*.csv", "--label", "late"]) == 0
    said = capsys.readouterr().out
    assert "? exports/b.csv: not read, it is the same file as exports/a.csv\n" in said
    assert "? exports/c.csv: not read, it is a link to nothing\n" in said
    assert "? exports/old\\x1b[31m.csv: not read, it is a folder\n" in said


def test_a_name_that_is_not_utf_8_is_printed(call: Call, place: Path) -> None:
    (place.parent / "exports" / "a\udcff\x1b.csv").write_text(TEXT + "1\n" * 40)
    words = [
        sys.executable,
        "-c",
        "from perennial.cli import main; main()",
        "new",
        "sales",
        "--from",
        "exports/*",
        "--label",
        "late",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{REPO}/include:{REPO}/plugins"}
    said = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert said.returncode == 1
    assert "✗ exports/a\\udcff\\x1b.csv: row 401 has 1 cells, expected 5" in said.stderr.decode()
    said = subprocess.run([*words, "--json"], env=environment, capture_output=True, check=False)
    assert "a\\udcff\\x1b.csv: row 401" in json.loads(said.stdout)["error"]


@pytest.mark.parametrize(("answer", "first"), [("until", "2026-03-01"), ("day", "2026-01-01"), ("late", "")])
def test_it_asks_for_the_date_column_if_several_fit(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, first: str
) -> None:
    rows = [[*line[:4], line[1] + timedelta(days=59), line[4]] for line in lines()]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "id,day,size,kind,until,late"))
    answers = io.StringIO(f"{answer}\n")
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", answers)
    code = run_command(["new", "sales", "--from", "exports/a.csv", "--label", "late"])
    said = capsys.readouterr()
    assert "2 columns have dates. Which one has the row's date" in said.out
    assert "Choices: day, until" in said.out
    if first:
        assert (code, str(read_pipeline(place / "sales" / "pipeline.yaml").start)) == (0, first)
    else:
        assert (code, "2 columns have dates: 'day', 'until'; 'late' is none of them" in said.err) == (1, True)


def test_local_times_that_clocks_skip_are_noted(call: Call, place: Path) -> None:
    times = ["2026-03-28T02:30:00", "2026-03-29T02:30:00", "2026-03-29T03:00:00", "2026-03-29T02:30:00Z", "2026-10-25T02:30"]
    rows = [[n, times[n % 5], n % 7, "ab"[n % 2], "yes" if n % 3 else "no"] for n in range(100)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, HEADER))
    assert call("sales", "--from", "exports/a.csv", "--label", "late", "--time-zone", "Europe/Berlin")[0] == 0
    text = (place / "sales" / "pipeline.yaml").read_text()
    assert "; 20 rows would go to quarantine: Europe/Berlin skips 2026-03-29T02:30:00, as clocks are set forward\n" in text
