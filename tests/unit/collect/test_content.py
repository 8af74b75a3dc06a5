"""What is read of a file: records whatever their quotes hold, and limits that no file can make it cross."""

from __future__ import annotations

import time

import pytest

from perennial.collect.content import MAX_RECORD, read_content
from perennial.collect.header import MAX_PROBLEMS, differing_headers, header_problems


def read(text: str):
    return read_content([text.encode()], compressed=False, max_bytes=2**30)


def test_records_are_counted_and_not_lines() -> None:
    found = read('a,b\n1,"x\ny\n\nz"\n\n2,""\n')

    assert (found.columns, found.rows, found.problems) == (("a", "b"), 2, [])


def test_long_records_are_read_one_after_another() -> None:
    record = ",".join(['"' + "x\n" * 30_000 + '"'] * 40) + "\n"
    found = read("a\n" + record * 3)

    assert 3 * len(record) > MAX_RECORD > len(record)
    assert (found.rows, found.problems) == (3, [])


@pytest.mark.parametrize(
    ("before", "where"), [("a\n1\n2\n", "the record after row 2"), ("", "the header")], ids=["record", "header"]
)
def test_record_of_quoted_line_breaks_has_an_end(before: str, where: str) -> None:
    found = read(before + ",".join(['"' + "x\n" * 60_000 + '"'] * 60))

    assert found.problems == [f"{where} has more than 4,000,000 characters: is a quote not closed?"]


def test_quote_that_nothing_closes_is_told() -> None:
    found = read('a,b\n1,2\n3,"4\n' + "5,6\n" * 100_000)

    assert found.problems == ["not readable as CSV after row 1: a cell of more than 131,072 characters: is a quote not closed?"]


def test_header_of_very_many_columns_is_judged_soon_and_shortly() -> None:
    began = time.monotonic()
    problems = header_problems([f"c{number % 150_000}" for number in range(300_000)], [f"d{number}" for number in range(2_000)])

    assert time.monotonic() - began < 10
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[0] == "column 'c0' is listed 2 times"
    assert problems[-1].startswith("and ")
    assert problems[-1].endswith(" more problems in the header")


def test_header_of_a_few_mistakes_names_them_all() -> None:
    assert header_problems(["a", "b", "b", "presure", "x"], ["a", "b", "pressure", "y"]) == [
        "column 'b' is listed 2 times",
        "column 'pressure' was renamed to 'presure'",
        "column 'x' is not in the contract",
        "column 'y' is missing",
    ]
    assert header_problems(["a", "b"], ["a", "b"]) == []


def test_columns_are_known_by_name_in_any_order() -> None:
    assert header_problems(["b", "a"], ["a", "b"]) == []


def test_column_that_a_drop_may_lack_is_missed_only_under_another_name() -> None:
    assert header_problems(["a"], ["a", "channel"], {"channel"}) == []
    assert header_problems(["a", "chanel"], ["a", "channel"], {"channel"}) == ["column 'channel' was renamed to 'chanel'"]
    assert header_problems(["channel"], ["a", "channel"], {"channel"}) == ["column 'a' is missing"]


def test_files_of_one_drop_have_one_header() -> None:
    assert differing_headers({"a.csv": ("a", "b"), "b.csv": ("a", "b")}) == []
    assert differing_headers({"a.csv": ("a", "b"), "b.csv": ("a",)}) == ["b.csv: its columns differ from those of a.csv"]
    assert differing_headers({}) == []


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_named_instead_of_every_column(separator: str):
    found = header_problems([separator.join(["id", "speed", "heat"])], ["id", "speed", "heat"])
    assert found == [f"the columns are separated by {separator!r}, expected ','"]
