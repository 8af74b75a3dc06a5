"""Landing one's own files: the command, and the program of the how-to, with the pipeline of the tutorial."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.cli import run_command
from perennial.collect.collect import collect
from perennial.collect.land import land_drop
from perennial.config.load import read_pipeline
from perennial.errors import RefusedError
from perennial.lake.lake import Lake
from perennial.store.objects import split_uri

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
    subprocess.run([sys.executable, "-c", program], cwd=file.parent, check=True)
    assert accepted_rows(lake) == 2
    assert land_drop(lake, "orders", DAY, [file]).outcome == "unchanged"


def test_another_drop_is_replaced_only_when_told(lake: Lake, file: Path, tmp_path: Path) -> None:
    land_drop(lake, "orders", DAY, [file])
    other = tmp_path / "more.csv"
    other.write_bytes(CSV + b"3,AT,1,false\n")
    with pytest.raises(RefusedError, match="--replace"):
        land_drop(lake, "orders", DAY, [other])
    assert accepted_rows(lake) == 2
    assert land_drop(lake, "orders", DAY, [other], replace=True).outcome == "done"
    assert landed(lake) == ["_MANIFEST.json", "more.csv"]
    assert accepted_rows(lake) == 3


def test_interrupted_landing_is_finished_by_landing_again(lake: Lake, s3, file: Path) -> None:
    s3.put(lake.pipeline.sources["orders"].drop_uri(DAY) + file.name, b"half")
    assert land_drop(lake, "orders", DAY, [file]).outcome == "done"
    assert accepted_rows(lake) == 2


def test_strange_files_are_not_mixed_with_a_drop(lake: Lake, s3, file: Path) -> None:
    s3.put(lake.pipeline.sources["orders"].drop_uri(DAY) + "other.csv", CSV)
    with pytest.raises(RefusedError, match=r"other\.csv"):
        land_drop(lake, "orders", DAY, [file])


def test_a_manifest_that_the_store_does_not_hand_out_can_be_replaced(lake: Lake, s3, file: Path) -> None:
    bucket, key = split_uri(lake.pipeline.sources["orders"].drop_uri(DAY) + "_MANIFEST.json")
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    lake.objects.client.put_object(Bucket=bucket, Key=key, Body=b"{}", **own)
    with pytest.raises(RefusedError, match=r"already holds other files: _MANIFEST\.json"):
        land_drop(lake, "orders", DAY, [file])
    assert land_drop(lake, "orders", DAY, [file], replace=True).outcome == "done"
    assert accepted_rows(lake) == 2


def test_notes_of_other_systems_are_no_other_files(lake: Lake, s3, file: Path) -> None:
    note = lake.pipeline.sources["orders"].drop_uri(DAY) + "_SUCCESS"
    s3.put(note, b"")
    assert land_drop(lake, "orders", DAY, [file]).outcome == "done"
    assert land_drop(lake, "orders", DAY, [file]).outcome == "unchanged"
    assert accepted_rows(lake) == 2
    file.write_bytes(gzip.compress(CSV + b"3,AT,1,false\n"))
    assert land_drop(lake, "orders", DAY, [file], replace=True).outcome == "done"
    assert landed(lake) == ["_MANIFEST.json", "_SUCCESS", "orders.csv.gz"]


def test_all_files_of_a_drop_share_max_bytes_as_in_collect(lake: Lake, folder: Path, tmp_path: Path) -> None:
    document = yaml.safe_load((folder / "pipeline.yaml").read_text())
    document["sources"]["orders"]["max_bytes"] = len(CSV) + 20
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document))
    small = replace(lake, pipeline=read_pipeline(folder / "pipeline.yaml"))
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for number, path in enumerate(paths):
        path.write_bytes(CSV.replace(b"9.5", b"%d.5" % number))
    assert land_drop(small, "orders", DAY, paths[:1]).outcome == "done"
    with pytest.raises(RefusedError, match=r"b\.csv: more than 20 bytes of text, the limit that max_bytes sets"):
        land_drop(small, "orders", DAY, paths, replace=True)


def test_more_files_than_a_manifest_can_list_are_refused(lake: Lake, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.collect.land.MAX_BYTES", 100)
    with pytest.raises(RefusedError, match=r"1 files need a manifest of 180 bytes, at most 100 are read\. Join the files"):
        land_drop(lake, "orders", DAY, [file])
    assert landed(lake) == []


def test_what_is_no_file_is_named(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "b.csv").symlink_to("nowhere")
    (tmp_path / "c.csv").symlink_to("/proc/self/mem")
    with pytest.raises(RefusedError) as refused:
        land_drop(lake, "orders", DAY, [tmp_path / name for name in ("a.csv", "b.csv", "c.csv", "d.csv")])
    reasons = ["it is a folder", "it is a link to nothing", "cannot be read (Input/output error)", "no such file"]
    assert [problem.partition(": ")[2] for problem in refused.value.problems] == reasons


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


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """Return a folder with a file for each of five dates, beside other files."""
    folder = tmp_path / "exports"
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"2026-01-0{number}.csv.gz").write_bytes(gzip.compress(CSV + f"{number + 2},AT,{number},true\n".encode()))
    (folder / "latest.csv.gz").write_bytes(gzip.compress(CSV))
    (folder / "_SUCCESS.csv.gz").write_bytes(b"")
    return folder


@pytest.fixture
def call(lake: Lake, capsys) -> Any:
    """Return a function that lands by a pattern with --json and returns the exit code and the answer."""
    for uri in list(lake.objects.list("s3://landing/orders/")):
        lake.objects.delete(uri)

    def run(pattern: str, *options: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = run_command(["land", "returned_orders", "orders", pattern, *options, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_a_pattern_lands_many_dates(lake: Lake, call, exports: Path, capsys) -> None:
    code, answer = call(f"{exports}/{{date}}.csv.gz")
    dates = [f"2026-01-0{number}" for number in range(1, 6)]
    assert (code, answer["landed"], answer["unchanged"], answer["refused"]) == (0, dates, [], {})
    assert answer["rows"] == 15
    assert answer["ignored"] == [f"{exports}/latest.csv.gz"]
    assert collect(lake, date(2026, 1, 5)).rows_landed["orders"] == 3

    (exports / "2026-01-02.csv.gz").write_bytes(gzip.compress(CSV))
    code, answer = call(f"{exports}/{{date}}.csv.gz", "--from", "2026-01-02", "--to", "2026-01-03")
    assert (code, answer["landed"], answer["unchanged"]) == (1, [], ["2026-01-03"])
    assert "--replace" in answer["refused"]["2026-01-02"]
    assert call(f"{exports}/{{date}}.csv.gz", "--replace")[1]["landed"] == ["2026-01-02"]


def test_dates_refused_for_one_reason_are_one_line(call, exports: Path, capsys) -> None:
    for day in ("2025-12-30", "2025-12-31", *(f"2026-02-{day:02}" for day in range(1, 13))):
        (exports / f"{day}.csv.gz").write_bytes(gzip.compress(CSV))
    (exports / "2026-01-02.csv.gz").write_bytes(b"not gzip")
    assert run_command(["land", "returned_orders", "orders", f"{exports}/{{date}}.csv.gz"]) == 1
    lines = [line.split(": Pipeline")[0].split(": Nothing")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines[-5:-1] == [
        "✗ 15 dates refused",
        "  2025-12-30 to 2025-12-31 (2 dates)",
        "  2026-01-02",
        "  2026-02-01 to 2026-02-12 (12 dates)",
    ]


def test_documented_pattern_lands_the_exports(lake: Lake, call, exports: Path, documented) -> None:
    program, land, pipeline, source, pattern = shlex.split(documented(HOW_TO, "sh")[1])
    assert (program, land, pipeline, source) == (".venv/bin/perennial", "land", "returned_orders", "orders")
    assert len(call(pattern)[1]["landed"]) == 5


def test_a_bad_file_refuses_only_its_date(call, exports: Path, capsys) -> None:
    (exports / "2026-01-02.csv.gz").write_bytes(b"not gzip")
    (exports / "2026-01-04.csv.gz").write_bytes(gzip.compress(CSV.replace(b"country", b"land")))
    (exports / "2025-12-31.csv.gz").write_bytes(gzip.compress(CSV))
    code, answer = call(f"{exports}/{{date}}.csv.gz")
    assert (code, answer["landed"]) == (1, ["2026-01-01", "2026-01-03", "2026-01-05"])
    assert list(answer["refused"]) == ["2025-12-31", "2026-01-02", "2026-01-04"]
    reasons = list(answer["refused"].values())
    assert "outside its dates" in reasons[0]
    assert "not gzip" in reasons[1]
    assert "'land' is not in the contract" in reasons[2]

    assert run_command(["land", "returned_orders", "orders", f"{exports}/{{date}}.csv.gz"]) == 1
    said = capsys.readouterr().out
    assert "3 dates had landed before and did not change" in said
    assert "✗ 3 dates refused\n" in said
    assert f"? {exports}/latest.csv.gz: not landed, its name has no date" in said


def test_a_date_may_have_several_files(lake: Lake, call, tmp_path: Path) -> None:
    for number, day in enumerate(("20260101", "20260101", "20260102")):
        folder = tmp_path / "exports" / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"part-{number}.csv").write_bytes(CSV.splitlines(keepends=True)[0] + f"{number},DE,1,true\n".encode())
        (folder / "_SUCCESS").write_bytes(b"")
    code, answer = call(f"{tmp_path}/exports/day={{date:%Y%m%d}}/*")
    assert (code, answer["landed"], answer["rows"]) == (0, ["2026-01-01", "2026-01-02"], 3)
    assert collect(lake, date(2026, 1, 1)).rows_landed["orders"] == 2


def test_sixty_four_dates_land_in_seconds(call, tmp_path: Path, folder: Path) -> None:
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("end: 2026-01-31", "end: 2026-12-31"))
    for offset in range(64):
        day = date.fromordinal(date(2026, 1, 1).toordinal() + offset)
        (tmp_path / f"{day}.csv").write_bytes(CSV + f"{offset + 9},AT,1,true\n".encode())
    began = time.monotonic()
    code, answer = call(f"{tmp_path}/{{date}}.csv")
    assert (code, len(answer["landed"])) == (0, 64)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["none/{date}.csv"], "No files of these dates match 'none/{date}.csv', found none"),
        (["exports/{day}.csv"], "found 'none, or other braces'"),
        (["exports/{date:%d.%m}.csv"], "found '%d.%m'"),
        (["exports/*.csv"], "expected {date} in it"),
        (["exports/{date}.csv.gz", "x.csv"], "Write one pattern in quotes"),
        (["exports/{date}.csv.gz", "--from", "2027-01-01"], "found only of 2026-01-01 to 2026-01-05"),
        (["exports/2026-01-01.csv.gz", "exports/2026-01-02.csv.gz"], "expected a date before it"),
        (["2026-01-31", "--from", "2026-01-01"], "--from and --to are for a pattern"),
        (["2026-01-31"], "No files for 2026-01-31"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_of_patterns(call, exports: Path, arguments: list[str], text: str) -> None:
    code, answer = call(*arguments)
    assert code == 1
    assert text in answer["error"]
