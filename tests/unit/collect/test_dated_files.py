"""A pattern of dated files: each file belongs to the date of its name, or is listed as ignored."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from perennial.collect.dated_files import find_dated_files
from perennial.errors import RefusedError

DAY = date(2026, 2, 3)


@pytest.mark.parametrize(
    ("pattern", "file", "expected"),
    [
        ("{date}.csv", "2026-02-03.csv", DAY),
        ("{date}.csv", "2026-02-30.csv", None),
        ("{date}.csv", "2026-2-3.csv", None),
        ("{date:%Y%m%d}.csv", "20260203.csv", DAY),
        ("{date:%d.%m.%Y}.csv", "03.02.2026.csv", DAY),
        ("{date:%Y/%m/%d}/a.csv", "2026/02/03/a.csv", DAY),
        ("d={date}/o-{date:%Y%m%d}.csv", "d=2026-02-03/o-20260203.csv", DAY),
        ("d={date}/o-{date:%Y%m%d}.csv", "d=2026-02-03/o-20260204.csv", None),
        ("{date}/p?.csv", "2026-02-03/p1.csv", DAY),
        ("a[1]+/{date}.csv", "a[1]+/2026-02-03.csv", DAY),
        ("*/{date}.csv", "any/2026-02-03.csv", DAY),
        ("./{date}.csv", "./2026-02-03.csv", DAY),
        ("*{date:%Y%m%d}*", "part-20260203-001.csv", DAY),
        ("*{date:%Y%m%d}*", "120260203.csv", None),
        ("*{date}*", "2026-02-030.csv", None),
        ("v1{date:%Y%m%d}.csv", "v120260203.csv", DAY),
        ("*{date}*", "2026-02-03_2026-02-30.csv", DAY),
        ("*_{date}.csv", "2026-02-01_2026-02-03.csv", DAY),
        ("*{date}*", "a\n%[b]'2026-02-03.csv", DAY),
    ],
)
def test_the_name_of_a_file_gives_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, file: str, expected: date | None
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a\n1\n")
    found = find_dated_files(pattern)
    assert found.by_date == ({expected: [path]} if expected else {})
    assert found.ignored == ({} if expected else {path: "its name has no date"})


def test_dates_and_files_come_in_order(tmp_path: Path) -> None:
    for name in ("b-2026-02-04.csv", "a-2026-02-04.csv", "c-2026-02-03.csv"):
        (tmp_path / name).touch()
    found = find_dated_files(f"{tmp_path}/*-{{date}}.csv").by_date
    assert list(found) == [DAY, date(2026, 2, 4)]
    assert [path.name for path in found[date(2026, 2, 4)]] == ["a-2026-02-04.csv", "b-2026-02-04.csv"]


def test_a_name_in_which_the_date_fits_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2026-02-03_2026-02-04.csv").touch()
    with pytest.raises(RefusedError, match=r"fits two dates of a name: .* has 2026-02-03 and 2026-02-04"):
        find_dated_files(f"{tmp_path}/*{{date}}*.csv")


def test_what_is_not_read_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "2026-02-03.csv").mkdir()
    (tmp_path / "2026-02-04.csv").symlink_to("nowhere")
    (tmp_path / "0001-02-03.csv").touch()
    found = find_dated_files(f"{tmp_path}/{{date}}.csv")
    assert found.by_date == {}
    assert {path.name: reason for path, reason in found.ignored.items()} == {
        "2026-02-03.csv": "it is a folder",
        "2026-02-04.csv": "it is a link to nothing",
        "0001-02-03.csv": "its date is not within 1970-01-01 to 2200-12-31",
    }
