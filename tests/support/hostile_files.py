"""Hostile CSV files, one a line: files that must be read exactly, and files that must be refused, with words of the refusal."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

Rows = list[list[str]]
Files = Mapping[str, bytes]

FIRST = date(2026, 1, 1)
HEADER = ["id", "day", "size", "note", "late"]


def make_rows(note: str = "a", count: int = 40) -> Rows:
    """Return rows of two days; every second one has the note."""
    return [
        [str(n), str(FIRST + timedelta(days=n % 2)), str(n * 7 % 5), note if n // 2 % 2 else "b", "yes" if n % 3 else "no"]
        for n in range(count)
    ]


def write(rows: Rows, header: list[str] = HEADER, **dialect: Any) -> str:
    """Return rows as CSV, quoted where they must be."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", **dialect).writerows([header, *rows])
    return text.getvalue()


def change(column: int, edit: Callable[[Rows, int], str]) -> Rows:
    """Return rows in which a column has other cells, by row."""
    rows = make_rows()
    return [[*row[:column], edit(rows, number), *row[column + 1 :]] for number, row in enumerate(rows)]


ROWS = make_rows()
TEXT = write(ROWS)
LINES = TEXT.splitlines(keepends=True)
GZIP = gzip.compress(TEXT.encode())
TINY = {f"{number:03}.csv": f"{LINES[0]}{line}".encode() for number, line in enumerate(LINES[1:])}
NOTES = [
    *("a,b", 'say "hi"', '"', "'", "''", "a;b|c", "tab\there", "line\nbreak", "line\r\nbreak", "\n", " blank ", "#x"),
    *("C:\\dir", "end\\", "\\N", '\\"'),
    *("é", "日本", "😀", "😀\u200b", "e\u0301", "\u2028", "\x85", "\xa0", "\ufeff", "\u202eabc"),
    *("\x1a", "\x7f", "\x1b[31m", "'; DROP TABLE records; --", "{{x}}", "${x}", "!!python/object:os.system", "&a", "*a", "a: b"),
    *("x" * 100_000, "😀" * 5_000, "007", "-0", "1e308", "-1e308", "1.7976931348623157e308", "1e-320", "1e999", "nan", "inf"),
    *("0x1F", "1_000", "1,000", "1.000,5", "\u0661", "\uff11", "9" * 30, "9223372036854775807"),
    *("true", "Да", "2026-02-29", "0000-01-01"),
]  # fmt: skip
"""Cells of a column: each makes a file that is read exactly."""

NAMES = [
    *("ID", " id", "id ", "Size (cm)", "x); DROP TABLE records; --", "../../etc/passwd", "n\u043ete"),
    *("É", "e\u0301", "😀", "n" * 200, "derived_weekday", "positive_rate_2"),
    *("as_of", "date", "Date", "positive_rate", "weekday", "select", "null", "records", "dates"),
    *("__c", "%", "{date}", '"q"', "a,b"),
]  # fmt: skip
"""Names in a header in place of `note`: each makes a file that is read exactly."""

EXACT: dict[str, tuple[Files, Rows] | list[Rows]] = {
    "no line feed at the end": ({"a.csv": TEXT.rstrip().encode()}, ROWS),
    "CRLF": ({"a.csv": TEXT.replace("\n", "\r\n").encode()}, ROWS),
    "blank lines": ({"a.csv": TEXT.replace("\n", "\n\n").encode()}, ROWS),
    "all quoted": ({"a.csv": write(ROWS, quoting=csv.QUOTE_ALL).encode()}, ROWS),
    "CR in quotes": ({"a.csv": write(make_rows("old\rMac"), quoting=csv.QUOTE_ALL).encode()}, make_rows("old\rMac")),
    "quotes in the middle": ({"a.csv": TEXT.replace(",a,", ',a"b"c,').encode()}, make_rows('a"b"c')),
    "backslashes escape": (
        {"a.csv": write(make_rows('say "hi"'), quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\").encode()},
        make_rows('say "hi"'),
    ),
    "single quotes": ({"a.csv": write(make_rows("a,b"), quotechar="'").encode()}, make_rows("a,b")),
    **{
        f"delimiter {char!r}": ({"a.csv": write(make_rows(f"a{char}b"), delimiter=char).encode()}, make_rows(f"a{char}b"))
        for char in ";\t|:^~"
    },
    "byte order mark": ({"a.csv": TEXT.encode("utf-8-sig")}, ROWS),
    "UTF-16": ({"a.csv": write(make_rows("é😀")).encode("utf-16")}, make_rows("é😀")),
    "UTF-16 big-endian": ({"a.csv": ("\ufeff" + write(make_rows("é"))).encode("utf-16-be")}, make_rows("é")),
    "Windows-1252": ({"a.csv": write(make_rows("é€ß»")).encode("cp1252")}, make_rows("é€ß»")),
    "two marks in two files": (
        {"a.csv": write(ROWS[:20]).encode("utf-8-sig"), "b.csv": write(ROWS[20:]).encode("utf-8-sig")},
        ROWS,
    ),
    "CRLF in one file, LF in the other": (
        {"a.csv": write(ROWS[:20]).replace("\n", "\r\n").encode(), "b.csv": write(ROWS[20:]).encode()},
        ROWS,
    ),
    "a header without line feed first": ({"a.csv": LINES[0].rstrip().encode(), "b.csv": TEXT.encode()}, ROWS),
    "a last row without line feed in the middle": (
        {"a.csv": write(ROWS[:20]).rstrip().encode(), "b.csv": write(ROWS[20:]).encode()},
        ROWS,
    ),
    "many tiny files": (TINY, ROWS),
    "a short row": ({"a.csv": (TEXT + "1,2\n").encode()}, [*ROWS, ["1", "2"]]),
    "a long row": ({"a.csv": (TEXT + "1,2,3,4,5,6\n").encode()}, [*ROWS, ["1", "2", "3", "4", "5", "6"]]),
    "a torn row at the beginning": ({"a.csv": TEXT.replace("\n", "\n;\n", 1).encode()}, [[";"], *ROWS]),
    "Ctrl-Z at the end": ({"a.csv": (TEXT + "\x1a").encode()}, [*ROWS, ["\x1a"]]),
    "numbers at the limits": [
        change(2, lambda rows, n: ["1.7976931348623157e308", "-1e308", "4.9e-324", "-0", "+1.", "9" * 30][n % 6])
    ],
    "whole numbers at the limits": [
        change(2, lambda rows, n: ["9223372036854775807", "-9223372036854775808", "-0", "+7"][n % 4])
    ],
    "timestamps where clocks are set forward": [change(1, lambda rows, n: f"2026-03-{28 + n % 2}T02:30:00")],
    "timestamps with offsets": [
        change(1, lambda rows, n: f"2026-01-0{1 + n % 2}{'T00:30+14:00|T23:30:00.123456789-0500|T12:00:00Z'.split('|')[n % 3]}")
    ],
    "gzip": ({"a.csv.gz": GZIP}, ROWS),
    "gzip in members": ({"a.csv.gz": b"".join(gzip.compress(line.encode()) for line in LINES)}, ROWS),
    "gzip with zeros behind": ({"a.csv.gz": GZIP + bytes(512)}, ROWS),
    "gzip beside plain": ({"a.csv.gz": gzip.compress(write(ROWS[:20]).encode()), "b.csv": write(ROWS[20:]).encode()}, ROWS),
    "notes of other systems": ({"a.csv": TEXT.encode(), "_SUCCESS": b"", ".a.csv.crc": b"\0"}, ROWS),
    "a link to the file": ({"a.csv": TEXT.encode(), "b.csv": b"->a.csv"}, ROWS),
    "a link to nothing": ({"a.csv": TEXT.encode(), "b.csv": b"->c.csv"}, ROWS),
    "a folder": ({"a.csv": TEXT.encode(), "b.csv/c.csv": TEXT.encode()}, ROWS),
    "names that a shell or a terminal could take": (
        {"a b'\"\n%s[red]\x1b.csv": write(ROWS[:20]).encode(), "b\udcff.csv": write(ROWS[20:]).encode()},
        ROWS,
    ),
}
"""Files and the rows that must land, or these rows alone. A body `->name` is a link."""

_NO_DATE = "No column has a date in each row"
REFUSED: dict[str, tuple[Files | bytes | str | Rows, str]] = {
    "empty": (b"", "is empty. Expected a header and rows"),
    "blank": (b"\n\r\n\n", "is empty"),
    "mark only": (b"\xef\xbb\xbf", "is empty"),
    "header only": (LINES[0], "a header without rows"),
    "empty file beside": ({"a.csv": TEXT.encode(), "b.csv": b""}, "exports/b.csv is empty"),
    "CR alone": (TEXT.replace("\n", "\r"), "a carriage return (CR) alone"),
    "CR alone, long": (TEXT.replace("\n", "\r") * 900, "a carriage return (CR) alone"),
    "CR at the end": (TEXT.rstrip() + "\r", "a carriage return (CR) without a line feed"),
    "LF after CRLF": (TEXT.replace("\n", "\r\n") + LINES[1], "line endings differ: the first line ends in CRLF, row 41 in LF"),
    "CR CR LF": (TEXT.replace("\n", "\r\r\n"), "a carriage return (CR) without a line feed"),
    "NUL": (TEXT.replace(",a,", ",a\0,"), "a binary file, it holds a NUL byte"),
    "all NUL": (bytes(4096), "a binary file, it holds a NUL byte"),
    "delimiters that differ": (LINES[0] + LINES[1] + LINES[2].replace(",", ";"), "row 2 has 1 cells, expected 5"),
    "delimiter behind each row": (LINES[0] + "".join(LINES[1:]).replace("\n", ",\n"), "row 1 has 6 cells, expected 5"),
    "delimiter behind each line": (TEXT.replace("\n", ",\n"), "column 6 has no name"),
    "short rows": (TEXT + "1,2\n" * 3, "row 41 has 2 cells, expected 5 as in the header; 3 of 43 rows"),
    "long rows": (TEXT + "1,2,3,4,5,6\n" * 3, "row 41 has 6 cells, expected 5 as in the header; 3 of 43 rows"),
    "text behind a quote": (TEXT + '1,2026-01-01,2,"x"y,no\n', "row 41: text after a closing quote"),
    "blank behind a quote": (TEXT + '1,2026-01-01,2,"x" ,no\n', "row 41: text after a closing quote"),
    "quote not closed": (TEXT + '1,2026-01-01,2,"x,no\n', "row 41: a quote is not closed"),
    "quote not closed in a long file": (TEXT + '1,2026-01-01,2,"x,no\n' + TEXT * 300, "is a quote not closed?"),
    "note of Excel": ("sep=,\n" + TEXT, "its first line is a note for Excel"),
    "comment": ("# export of 2026\n" + TEXT, "one column only, its first line is '# export of 2026'"),
    "one column": ("late\nyes\nno\n", "one column only"),
    "delimiters only": (",,,,\n" * 9, "column 1 has no name"),
    "UTF-16 without mark": (TEXT.encode("utf-16-le"), "UTF-16 without a byte order mark"),
    "UTF-16, half a character": (TEXT.encode("utf-16")[:-1], "not UTF-16: byte 0x0A"),
    "UTF-16, half a pair": (b"\xff\xfe" + TEXT.encode("utf-16-le") + b"\0\xd8a\0", "not UTF-16: byte 0x00"),
    "UTF-32": (TEXT.encode("utf-32"), "the encoding is UTF-32"),
    "two marks": ("\ufeff\ufeff" + TEXT, "column '\\ufeffid': expected a name of printable characters"),
    "UTF-8 with one other byte": (
        write(make_rows("é")).encode() + b"99,2026-01-01,1,\xe9,no\n",
        "most of its text is UTF-8, but not all text of the files is",
    ),
    "surrogates in UTF-8": (TEXT.encode().replace(b",a,", b",\xed\xa0\x80,"), "is UTF-8, but not all"),
    "UTF-8 after Windows-1252": (
        {"a.csv": write(make_rows("é")).encode("cp1252"), "b.csv": write(make_rows("é")).encode()},
        "exports/b.csv: most of its text is UTF-8",
    ),
    "Windows-1252 after UTF-8": (
        {"a.csv": TEXT.encode(), "b.csv": write(make_rows("é")).encode("cp1252")},
        "It looks like Latin-1 or Windows-1252: if it is, set csv.encoding. Here that is the option --encoding.",
    ),
    "byte that Windows-1252 lacks": (write(make_rows("\x81ü")).encode("latin-1"), "not Windows-1252: byte 0x81"),
    "no header": ("".join(LINES[1:]), "no header: the first row holds the value '0'"),
    "empty name": (TEXT.replace("size", "", 1), "column 3 has no name"),
    "blank name": (TEXT.replace("size", "  ", 1), "column 3 has no name"),
    "name twice": (TEXT.replace("size", "id", 1), "column 'id' is in the header 2 times"),
    "long name twice": (TEXT.replace("size", "n" * 90_000, 1).replace("note", "n" * 90_000, 1), "n…' is in the header 2 times"),
    "name of 201 characters": (TEXT.replace("size", "n" * 201, 1), "expected at most 200 characters"),
    "name that turns the line": (TEXT.replace("size", "\u202esize", 1), "expected a name of printable characters"),
    "name with a line break": (TEXT.replace("size", '"si\nze"', 1), "expected a name of printable characters"),
    "10,000 columns": (",".join(f"c{n}" for n in range(10_000)) + "\n", "10000 columns, at most 2000 are read"),
    "a long header": ("".join(f"c{n}," for n in range(150_000)) + "\n1\n", "cells, at most 20,000 can be read"),
    "a row of a million cells": (TEXT + "," * 1_000_000 + "\n", "row 41 has 1,000,001 cells, at most 20,000 can be read"),
    "a cell of 20 MB": (TEXT.encode() + b"1,2026-01-01,2," + b"x" * 20_000_000 + b",no\n", "a line of more than 1000000"),
    "a quoted cell of 20 MB": (TEXT + '1,2026-01-01,2,"' + "xxxxxxx\n" * 2_500_000 + '",no\n', "a cell of more than 131,072"),
    "other header in a file": (
        {"a.csv": TEXT.encode(), "b.csv": TEXT.replace("note", "memo", 1).encode()},
        "exports/b.csv: its header differs from that of exports/a.csv",
    ),
    "gzip cut off": ({"a.csv.gz": GZIP[:-9]}, "truncated: the gzip data ends early"),
    "gzip with a wrong sum": ({"a.csv.gz": GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]}, "damaged gzip data"),
    "gzip and something behind": ({"a.csv.gz": GZIP + b"garbage"}, "garbage after the end of the gzip data"),
    "gzip twice": ({"a.csv.gz": gzip.compress(GZIP)}, "compressed twice"),
    "gzip without its name": (GZIP, "compressed, though its name does not end in .gz"),
    "no gzip": ({"a.csv.gz": TEXT.encode()}, "not gzip, though its name ends in .gz"),
    "bomb": ({"a.csv.gz": gzip.compress(TEXT.encode() + LINES[1].encode() * 600_000)}, "a decompression bomb"),
    "JSON": (b'{"id": 1, "late": "yes"}\n', "the format is JSON"),
    "Parquet": (b"PAR1" + bytes(100), "the format is Parquet"),
    "year 0": (change(1, lambda rows, n: "0000-01-01" if n == 9 else rows[n][1]), f"{_NO_DATE}: 'day' has none in 1 rows"),
    "year 1 far west": (
        change(1, lambda rows, n: "0001-01-01T00:00:00Z" if n == 9 else f"{rows[n][1]}T12:00:00Z"),
        "'0001-01-01T00:00:00Z' is outside the dates 1970-01-01 to 2200-12-31",
    ),
    "29 February": (
        change(1, lambda rows, n: "2026-02-29" if n == 9 else rows[n][1]),
        f"{_NO_DATE}: 'day' has none in 1 rows, such as '2026-02-29'",
    ),
    "an empty date": (change(1, lambda rows, n: "" if n == 9 else rows[n][1]), f"{_NO_DATE}: 'day' has none in 1 rows"),
    "dates of two forms": (
        change(1, lambda rows, n: "02.01.2026" if n == 9 else rows[n][1]),
        "'day' has none in 1 rows, such as '02.01.2026'",
    ),
    "dates and timestamps": (
        change(1, lambda rows, n: f"{rows[n][1]}T10:00" if n % 3 else rows[n][1]),
        "'day' has dates in some rows and timestamps in others",
    ),
    "years of two digits": (change(1, lambda rows, n: rows[n][1][2:]), "The dates of 'day' fit 2 formats"),
    "seconds since 1970": (
        change(1, lambda rows, n: str(1_767_225_600 + n % 2 * 86_400)),
        "'day' may have seconds or milliseconds since 1970",
    ),
    "two columns of dates": (change(3, lambda rows, n: rows[n][1]), "2 columns have dates: 'day', 'note'"),
    "one date": (change(1, lambda rows, n: "2026-01-01"), "All rows are of 2026-01-01, expected two dates or more"),
    "no key": (change(0, lambda rows, n: "1"), "No combination of columns is unique within a date"),
    "the same data plain and compressed": ({"a.csv": TEXT.encode(), "a.csv.gz": GZIP}, "40 of 80 rows are equal"),
    "label of one value": (change(4, lambda rows, n: "no"), "expected two values or more, found 'no' only"),
    "label of three values": (change(4, lambda rows, n: "no yes ?".split()[n % 3]), "has 3 values ('no', 'yes', '?')"),
    "label without values": (change(4, lambda rows, n: ""), "expected two values or more, found no value only"),
    "label in quotes": (change(4, lambda rows, n: "'no'" if n % 3 else "yes '"), "is not a plain word"),
    "label of signs": (change(4, lambda rows, n: "❌" if n % 3 else "✅"), "is not a plain word"),
}
"""A file, its files, its text or its rows; and words of the refusal."""


def exact_files(case: str) -> tuple[Files, Rows]:
    """Return the files of a case of EXACT, and the rows that must land."""
    content = EXACT[case]
    return ({"a.csv": write(content[0]).encode()}, content[0]) if isinstance(content, list) else content


def refused_files(case: str) -> tuple[Files, str]:
    """Return the files of a case of REFUSED, and words of the refusal."""
    content, words = REFUSED[case]
    if isinstance(content, list):
        content = write(content)
    if isinstance(content, str):
        content = content.encode()
    return ({"a.csv": content} if isinstance(content, bytes) else content), words
