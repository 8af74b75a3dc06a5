"""Records that are counted without a CSV reader: the same header, rows and verdicts as with one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.collect.broken import BrokenError
from perennial.collect.plain_lines import MAX_PLAIN_LINE, count_plain_lines
from perennial.collect.records import Records, each_record, read_records
from perennial.config.dialect import Csv

LINES = st.lists(
    st.one_of(
        st.text(alphabet="a1;é€", min_size=1, max_size=6),
        st.sampled_from(["", " ", "\t", " 1", ";", '"x"', '"x\ny"', '"x', 'x"y', "\r", "x\ry", "\0", "\x1c", "\u2028", "\x85"]),
    ),
    max_size=12,
)


def read_each(texts: Iterator[str], dialect: Csv, records: Records) -> None:
    for _ in each_record(texts, dialect, records):
        pass


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(1, 40), st.sampled_from([{}, {"quote": None}]))
@settings(max_examples=300)
def test_counting_and_reading_find_the_same(
    lines: list[str], end: str, has_end: bool, size: int, options: dict[str, str | None]
) -> None:
    dialect = Csv.model_validate({"delimiter": ";", **options})
    text = end.join(["a;b", *lines]) + end * has_end
    found = []
    for read in (read_records, read_each):
        records, problem = Records(), ""
        try:
            read(iter([text[at : at + size] for at in range(0, len(text), size)]), dialect, records)
        except BrokenError as error:
            problem = str(error)
        found.append((records, problem))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("text", "is_crlf", "count"),
    [
        ("1,2\n3,4\n", False, 2),
        ("1,2\r\n3,4\r\n", True, 2),
        ("1,2\n3,4", False, None),
        ("1,2\r\n", False, None),
        ("1,2\n", True, None),
        ("1,2\r\n3,4\n", True, None),
        ("1\r,2\r\n", True, None),
        ("1,2\n\n", False, None),
        ("\n1,2\n", False, None),
        ("1,2\n 3\n", False, None),
        ("1,'2'\n", False, None),
        ("é,€\n", False, 1),
        ("x" * MAX_PLAIN_LINE + "\n", False, 1),
        ("x" * (MAX_PLAIN_LINE + 1) + "\n", False, None),
    ],
)
def test_a_csv_reader_decides_about_lines_that_are_not_plain(text: str, is_crlf: bool, count: int | None) -> None:
    assert count_plain_lines(text, "'", is_crlf=is_crlf) == count
