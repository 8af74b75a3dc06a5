"""What is read of a file: records whatever their quotes hold, and limits that no file can make it cross."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest

from perennial.collect.content import Content, read_content
from perennial.collect.header import MAX_PROBLEMS, differing_headers, header_problems
from perennial.collect.plain_lines import MAX_CELLS
from perennial.collect.records import MAX_RECORD
from perennial.collect.unpack import Gzip
from perennial.config.dialect import Csv


def read(text: str, **dialect: Any) -> Content:
    csv = Csv.model_validate(dialect)
    return read_content([text.encode(csv.encoding)], compressed=False, max_bytes=2**30, dialect=csv)


def test_records_are_counted_and_not_lines() -> None:
    found = read('a,b\n1,"x\ny\n\nz"\n\n2,""\n')

    assert (found.columns, found.rows, found.problems) == (("a", "b"), 2, [])


@pytest.mark.exhaustive
def test_long_records_are_read_one_after_another() -> None:
    record = ",".join(['"' + "x\n" * 30_000 + '"'] * 40) + "\n"
    found = read("a\n" + record * 3)

    assert 3 * len(record) > MAX_RECORD > len(record)
    assert (found.rows, found.problems) == (3, [])


@pytest.mark.parametrize(
    ("before", "where"), [("a\n1\n2\n", "the record after row 2"), ("", "the header")], ids=["record", "header"]
)
@pytest.mark.exhaustive
def test_record_of_quoted_line_breaks_has_an_end(before: str, where: str) -> None:
    found = read(before + ",".join(['"' + "x\n" * 60_000 + '"'] * 60))

    assert found.problems == [f"{where} has more than 4,000,000 characters: is a quote not closed?"]


def test_quote_that_nothing_closes_is_told() -> None:
    found = read('a,b\n1,2\n3,"4\n' + "5,6\n" * 100_000)

    assert found.problems == ["row 2: a cell of more than 131,072 characters: is a quote not closed?"]


@pytest.mark.exhaustive
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
    assert found == [f"the columns are separated by {separator!r}, expected ',': set csv.delimiter"]


BACKSLASH = "row 1: text after a closing quote. If a backslash escapes quotes, set csv.escape"
BROKEN = {
    "text after a closing quote": ('a,b\n"x"y,1\n', "row 1: text after a closing quote"),
    "blank after a closing quote": ('a,b\n1,2\n"x" ,1\n', "row 2: text after a closing quote"),
    "backslash before quotes": ('a,b\n"x \\"y\\"",1\n', BACKSLASH),
    "unclosed quote": ('a,b\n1,2\n"x,1\n', "row 2: a quote is not closed"),
    "quote in the header": ('"a"x,b\n', "the header: text after a closing quote"),
    "line ends of the old Mac": ("a,b\r1,2\r3,4\r", "its lines end in a carriage return (CR) alone, expected LF or CRLF"),
    "a row that CR ends": ("a,b\n1,2\r3,4\n", "row 1: a carriage return (CR) without a line feed"),
    "last row that CR ends": ("a,b\n1,2\r", "the last line: a carriage return (CR) without a line feed"),
    "two CR before LF": ("a,b\r\n1,2\r\r\n", "row 1: a carriage return (CR) without a line feed"),
    "another end in a blank line": ("a,b\n1,2\n\r\n3,4\n", "line endings differ: the first line ends in LF, row 2 in CRLF"),
    "NUL": ("a,b\n1,\0\n", "a NUL character after row 0: a binary file, or one that was damaged"),
    "too many cells": ("a,b\n" + "," * MAX_CELLS + "\n", "row 1 has 20,001 cells, at most 20,000 can be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_readers_of_csv_read_differently_is_named(case: str) -> None:
    text, problem = BROKEN[case]
    (found,) = read(text).problems
    assert found.startswith(problem)


ESCAPES = {
    "quotes": ('a,b\n"He said \\"hi\\"",1\n', [], []),
    "backslash at the end": ('a,b\n"C:\\\\",1\n', [], []),
    "outside quotes": ("a,b\n1,2\nC:\\new,1\n\\N,1\n", [2, 3], []),
    "before a letter": ('a,b\n"C:\\new",1\n', [1], []),
    "before a line break in quotes": ('a,b\n"x\\\ny",1\n3,4\n', [1], []),
    "before the end of the line": ("a,b\nx\\\n,1\n", [], ["row 1: text after a closing quote, or a backslash outside quotes"]),
    "before a delimiter": ("a,b\nx\\,1\n", [], ["row 1: text after a closing quote, or a backslash outside quotes"]),
    "in the header": ("a,\\b\n", [], ["the header: text after a closing quote, or a backslash outside quotes"]),
    "doubled quote": ('a,b\n"x""y",1\n', [], ["row 1: text after a closing quote"]),
    "in many rows": ("a,b\n" + "\\N,1\n" * 1001, list(range(1, 1001)), ["row 1001: a backslash outside quotes"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ESCAPES)
def test_a_backslash_is_read_only_where_all_programs_agree(case: str) -> None:
    text, unclear, problems = ESCAPES[case]
    found = read(text, escape="\\")
    assert found.unclear == unclear
    assert len(found.problems) == len(problems)
    assert all(text.startswith(problem) for text, problem in zip(found.problems, problems, strict=True))


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ":", "^", "~"])
@pytest.mark.parametrize("quote", ['"', "'", None])
def test_cells_are_divided_by_the_declared_dialect(delimiter: str, quote: str | None) -> None:
    mark = quote or ""
    found = read(f"a{delimiter}b\n{mark}1,5{mark}{delimiter}x\n", delimiter=delimiter, quote=quote)
    assert (found.columns, found.rows, found.problems) == (("a", "b"), 1, [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "ISO-8859-1", "windows-1252", "cp1252"])
def test_text_is_decoded_as_declared(encoding: str) -> None:
    assert read("größe\nä\n", encoding=encoding).columns == ("größe",)


WRONG_ENCODING = {
    "utf-8 marked": ("a\n1\n".encode("utf-8-sig"), "latin-1", "the encoding is UTF-8"),
    "utf-16 marked": ("a\n1\n".encode("utf-16"), "utf-8", "the encoding is UTF-16 (it has a byte order mark)"),
    "utf-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), "utf-16", "the encoding is UTF-16 without a byte order mark"),
    "utf-8 as utf-16": (b"a,b\n1,2\n", "utf-16", "no byte order mark, which UTF-16 needs"),
    "byte that Windows-1252 lacks": (b"a\n\x81\n", "windows-1252", "not Windows-1252: byte 0x81 at position 2"),
    "half a character": ("a\nä".encode()[:-1], "utf-8", "not UTF-8: byte 0xC3 at position 2. It looks like Latin-1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_ENCODING)
def test_another_encoding_than_declared_is_named(case: str) -> None:
    body, encoding, problem = WRONG_ENCODING[case]
    found = read_content([body], compressed=False, max_bytes=2**30, dialect=Csv.model_validate({"encoding": encoding}))
    assert len(found.problems) == 1
    assert found.problems[0].startswith(problem)


def test_a_byte_order_mark_of_utf_8_is_no_part_of_the_header() -> None:
    found = read_content(["a,b\n1,2\n".encode("utf-8-sig")], compressed=False, max_bytes=100, dialect=Csv())
    assert (found.columns, found.problems) == (("a", "b"), [])


FORMATS = {
    "Parquet": b"PAR1\x15\x04\x15\x00",
    "a zip archive, such as an Excel workbook (.xlsx)": b"PK\x03\x04\x14\x00",
    "ORC": b"ORC\x0a\x03\x00\x00",
    "Avro": b"Obj\x01\x04\x14avro",
    "JSON": b'{"id": 1, "text": "a"}\n{"id": 2}\n',
    "HTML": b"<!DOCTYPE html><html>",
    "XML": b'<?xml version="1.0"?>',
}


@pytest.mark.parametrize("name", FORMATS)
def test_another_format_is_named(name: str) -> None:
    found = read_content([FORMATS[name]], compressed=False, max_bytes=100, dialect=Csv())
    assert found.problems == [f"the format is {name}, expected CSV with a header row"]


def test_a_list_of_json_is_named_and_a_header_with_brackets_is_not() -> None:
    assert "JSON" in read('[\n  {"id": 1}\n]\n').problems[0]
    assert read('PAR1,ORC,{"a"},[b]\n1,2,3,4\n').problems == []
    assert read("[a],b\n1,2\n").problems == []


@pytest.mark.exhaustive
def test_hundreds_of_thousands_of_tiny_gzip_members_are_read_in_large_blocks() -> None:
    body = gzip.compress(b"1\n") * 400_000
    began = time.process_time()
    blocks = list(Gzip().unpack(iter([body])))
    assert b"".join(blocks) == b"1\n" * 400_000
    assert len(blocks) < 20
    assert time.process_time() - began < 10  # 0.4 s; 28 s if zlib copies the rest of the file for each member


def test_a_mark_that_two_gzip_members_share_is_no_part_of_the_header() -> None:
    body = gzip.compress(b"\xef") + gzip.compress(b"\xbb\xbfa,b\n1,2\n")
    found = read_content([body], compressed=True, max_bytes=100, dialect=Csv())
    assert (found.columns, found.rows, found.problems) == (("a", "b"), 1, [])


BY_LINES = {
    "plain": ('a,b\n1,"x, ""y"""\n\n2,z\n', True),
    "CRLF": ("a,b\r\n1,x\r\n\r\n2,y", True),
    "line break in quotes": ('a,b\n1,"x\ny"\n', False),
    "line break in quotes of the header": ('a,"b\n"\n1,2\n', False),
    "CRLF in quotes": ('a,b\r\n1,"x\r\ny"\r\n', False),
    "LF in quotes among CRLF": ('a,b\r\n1,"x\ny"\r\n', False),
    "CR in quotes": ('a,b\n1,"x\ry"\n', False),
    "CR in quotes among CRLF": ('a,b\r\n1,"x\ry"\r\n', False),
    "CR in quotes of the last line": ('a,b\n1,"x\ry"', False),
    "blank for some readers": ("a\n1\n \n2\n", False),
    "control characters alone": ("a\n\x1c\x1f\n", False),
}


@pytest.mark.parametrize("case", BY_LINES)
@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_a_file_can_be_read_from_any_line_if_each_record_is_a_line(case: str, chunk: int) -> None:
    text, by_lines = BY_LINES[case]
    body = text.encode()
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]

    found = read_content(chunks, compressed=False, max_bytes=1000, dialect=Csv())

    assert found.problems == []
    assert found.by_lines is by_lines
