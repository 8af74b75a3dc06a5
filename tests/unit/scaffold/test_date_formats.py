"""Dates in local formats: `perennial new` finds the format or asks for it, and each row lands in the drop of its date."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from scaffold_orders import csv_text

from perennial.cli import run_command
from perennial.config.dialect import Csv
from perennial.config.load import read_pipeline
from perennial.scaffold.date_formats import find_formats
from perennial.scaffold.files import find_files
from perennial.scaffold.split import DateColumn, split_by_date

Call = Callable[..., tuple[int, dict[str, Any]]]
FIRST = date(2025, 1, 1)
NEW = ("sales", "--from", "exports/a.csv", "--label", "late")
HEADER = "id,day,size,kind,late"


def write(place: Path, form: str, days: int = 20, header: str = HEADER, **more: str) -> list[list[Any]]:
    """Write ten rows a day, with more columns of dates that lie some days later."""
    rows = []
    for n in range(days * 10):
        day = FIRST + timedelta(days=n // 10)
        later = [(day + timedelta(days=n % 3)).strftime(text) for text in more.values()]
        rows.append([n, day.strftime(form), n % 7, "ab"[n % 2], *later, "yes" if n % 3 else "no"])
    names = ",".join([header.removesuffix(",late"), *more, "late"])
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, names))
    return rows


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["31.12.2026", "01.02.2026"], ["dd.MM.yyyy"]),
        (["1.2.2026", "31.12.2026"], ["d.M.yyyy"]),
        (["31.12.2026", "30.11.2026"], ["d.M.yyyy"]),  # no zero says whether there are some
        (["2026/12/31", "2026/01/02"], ["yyyy/MM/dd"]),
        (["2026.12.31.", "2026.01.02."], ["yyyy.MM.dd."]),
        (["12/31/2026", "01/02/2026"], ["MM/dd/yyyy"]),
        (["01/02/2026", "03/04/2026"], ["dd/MM/yyyy", "MM/dd/yyyy"]),
        (["05/05/2026"], ["dd/MM/yyyy", "MM/dd/yyyy"]),
        (["31/12/26 14:05", "02/01/26 09:05"], ["dd/MM/yy HH:mm"]),
        (["26-12-31", "26-01-05", "27-01-01"], ["yy-MM-dd"]),
        (["05/11/25", "06/11/25"], ["dd/MM/yy", "MM/dd/yy", "yy/M/d"]),  # a few days say nothing of the place of the year
        (["01/11/25", "01/11/26"], ["dd/MM/yy", "MM/dd/yy", "yy/M/d"]),
        (["1/2/2026 2:05 PM", "12/31/2026 11:05 AM"], ["M/d/yyyy h:mm a"]),
        (["12/31/2026 02:05:07PM", "01/02/2026 11:05:07AM"], ["MM/dd/yyyy hh:mm:ssa"]),
        (["31.12.2026, 14:05:01.5", "01.02.2026, 09:05:01.123"], ["dd.MM.yyyy, HH:mm:ss.SSS"]),
        (["20261231", "20260102"], ["yyyyMMdd"]),
        (["31122026", "02012026"], ["ddMMyyyy"]),
        (["20261231140507", "20260102000000"], ["yyyyMMddHHmmss"]),
        (["20261231T1405", "20260102T0000"], ["yyyyMMdd'T'HHmm"]),
        (["20261231"], []),  # a single number
        (["20261231", "20260000"], []),
        (["10101010", "11111111"], []),
        (["31.02.2026", "01.01.2026"], []),
        (["31/12/2026", "12/31/2026"], []),
        (["31.12.2026", "31/12/2026"], []),
        (["31.12.2026 ", "01.01.2026 x"], []),
        (["31 Dec 2026"], []),
        (["٣١.12.2026"], []),
        (["192.168.1.1", "10.0.0.1"], []),
        (["1.2.3", "1.2.4"], []),
        (["14:05", "15:05"], []),
        (["31#12#2026"], []),
        (["3" * 100_000, "4" * 100_000], []),
        (["31" + "." * 40 + "12.2026"], []),  # longer than a format may be
        (["1T1T2026" + "." * 10 + "09T05T07T1" + "." * 10], []),  # as it would be written: 'T' has three characters
        (["1/2/2026 2:05 PM", "12/31/2026 14:05"], []),
        ([], []),
    ],
)  # fmt: skip
def test_formats_that_read_every_text_are_found(texts: list[str], formats: list[str]) -> None:
    assert list(find_formats(texts)) == formats


@pytest.mark.parametrize(
    ("texts", "wanted", "formats"),
    [
        (["01/02/2026", "03/04/2026"], "MM/dd/yyyy", ["MM/dd/yyyy"]),
        (["1/2/2026 14:05", "3/4/2026 14:05"], "MM/dd/yyyy", ["M/d/yyyy H:mm"]),  # the order of the user's format
        (["01/02/03"], "yy/MM/dd", ["yy/MM/dd"]),
        (["31/12/2026"], "MM/dd/yyyy", ["d/M/yyyy"]),  # the data decide
        (["010226", "020226"], "ddMMyy", ["ddMMyy"]),
    ],
)
def test_a_format_of_the_user_decides_between_several(texts: list[str], wanted: str, formats: list[str]) -> None:
    assert list(find_formats(texts, wanted)) == formats


def test_the_yaml_has_the_format_of_each_column(call: Call, place: Path) -> None:
    write(place, "%d.%m.%Y", 31, until="%Y%m%d", seen="%d/%m/%y 09:05")
    text = (place.parent / "exports" / "a.csv").read_text()
    (place.parent / "exports" / "a.csv").write_text(text.replace("20250101,", "n/a,"))

    code, answer = call(*NEW, "--date-column", "day")

    assert (code, answer["first"], answer["last"], answer["dates"]) == (0, "2025-01-01", "2025-01-31", 31), answer
    assert answer["formats"] == {"day": "dd.MM.yyyy", "until": "yyyyMMdd", "seen": "dd/MM/yy HH:mm"}
    columns = read_pipeline(place / "sales" / "pipeline.yaml").sources["records"].columns
    assert [(columns[name].type, columns[name].format) for name in ("day", "until")] == [
        ("date", "dd.MM.yyyy"),
        ("date", "yyyyMMdd"),
    ]
    assert (columns["until"].null_text, columns["until"].required) == ("n/a", False)
    yaml = (place / "sales" / "pipeline.yaml").read_text()
    assert '# "2025-01-01" to "2025-01-31"' in yaml
    assert '"until": "2025-' in answer["next"][-1]  # a caller sends ISO 8601


def test_dates_that_fit_two_formats_are_refused_with_both_readings(call: Call, place: Path) -> None:
    write(place, "%d/%m/%Y", days=12)
    code, answer = call(*NEW)
    assert code == 1
    assert (
        "The dates of 'day' fit 2 formats: '02/01/2025' is 2025-01-02 as dd/MM/yyyy and 2025-02-01 as MM/dd/yyyy"
        in answer["error"]
    )
    assert "--date-format dd/MM/yyyy" in answer["error"]
    assert not place.exists() or list(place.iterdir()) == []


@pytest.mark.parametrize(("form", "last"), [("dd/MM/yyyy", "2025-01-12"), ("MM/dd/yyyy", "2025-12-01")])
def test_the_option_chooses_between_two_formats(call: Call, place: Path, form: str, last: str) -> None:
    write(place, "%d/%m/%Y", days=12)
    code, answer = call(*NEW, "--date-format", form)
    assert (code, answer["last"], answer["formats"]) == (0, last, {"day": form}), answer


@pytest.mark.parametrize(("answer", "last"), [("MM/dd/yyyy", "2025-12-01"), ("yyyy", "")])
def test_it_asks_for_the_format_if_several_fit(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, last: str
) -> None:
    write(place, "%d/%m/%Y", days=12)
    answers = io.StringIO(f"{answer}\n")
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", answers)
    code = run_command(["new", *NEW])
    said = capsys.readouterr()
    assert "Choices: dd/MM/yyyy, MM/dd/yyyy" in said.out
    if last:
        assert (code, str(read_pipeline(place / "sales" / "pipeline.yaml").end)) == (0, last)
        assert "day has dates of the form MM/dd/yyyy" in said.out
    else:
        assert (code, "'yyyy' is none of them" in said.err) == (1, True)


def test_another_column_that_fits_two_formats_is_no_input_and_stays_text(call: Call, place: Path) -> None:
    write(place, "%d.%m.%Y", days=10, paid="%m/%d/%Y")
    code, answer = call(*NEW, "--date-column", "day", "--date-format", "dd.MM.yyyy")
    assert code == 0, answer
    assert answer["formats"] == {"day": "dd.MM.yyyy", "paid": "dd/MM/yyyy"}  # the order decides

    write(place, "%Y-%m-%d", days=10, paid="%m/%d/%Y")
    code, answer = call("others", *NEW[1:], "--date-column", "day")
    assert (code, answer["formats"]) == (0, {}), answer
    assert answer["left_out"]["paid"] == "its dates fit dd/MM/yyyy and MM/dd/yyyy: --date-format chooses one"
    assert read_pipeline(place / "others" / "pipeline.yaml").sources["records"].columns["paid"].type == "string"


def test_a_file_of_each_date_with_the_local_time_gives_the_time_as_an_input(call: Call, place: Path) -> None:
    rows = write(place, "%d.%m.%Y 23:30")
    (place.parent / "exports" / "a.csv").unlink()
    for start in range(0, len(rows), 10):
        day = FIRST + timedelta(days=start // 10)
        (place.parent / "exports" / f"{day}.csv").write_text(csv_text(rows[start : start + 10], HEADER))
    code, answer = call("sales", "--from", "exports/{date}.csv", "--label", "late", "--time-zone", "Europe/Berlin")
    assert code == 0, answer
    assert list(read_pipeline(place / "sales" / "pipeline.yaml").inputs.request) == ["date", "day_time", "size", "kind"]


def test_rows_are_split_by_the_dates_of_the_format_and_keep_their_text(place: Path, tmp_path: Path) -> None:
    rows = write(place, "%d.%m.%Y 23:30", days=3)
    files, _ = find_files("exports/a.csv")
    column = DateColumn(1, "timestamp", "dd.MM.yyyy HH:mm", None, ZoneInfo("Europe/Berlin"))
    (tmp_path / "split").mkdir()
    split = split_by_date(files, Csv(), column, tmp_path / "split", "sales")
    assert split.rows == {FIRST + timedelta(days=n): 10 for n in range(3)}
    landed = [gzip.decompress(path.read_bytes()).decode() for day in sorted(split.files) for path in split.files[day]]
    assert landed == [csv_text(rows[start : start + 10], HEADER) for start in (0, 10, 20)]
