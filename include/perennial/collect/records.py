"""
The records of a CSV text: header and number of rows, read strictly.

Clean reads the same bytes with Spark. A text that Spark might divide into other cells is refused here, by name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from perennial.collect.broken import BrokenError
from perennial.collect.plain_lines import MAX_CELLS, count_plain_lines
from perennial.config.dialect import Csv

MAX_LINE = 1_000_000
MAX_RECORD = 4_000_000
"""Characters of a record, including line breaks in quotes. An unclosed quote would turn the rest of the file into one record."""
MAX_UNCLEAR = 1_000
"""Rows of a file that may be left to quarantine."""


@dataclass(slots=True)
class Records:
    """
    The header, and what clean has to know of the rest.

    :param rows: number of records after the header (not of lines: quotes may hold line breaks)
    :param unclear: numbers of the rows with a cell that programs read differently
    :param line_end: end of each line
    :param by_lines: whether each record is a line, and no line is blank for some readers: a reader may begin at any line
    """

    columns: tuple[str, ...] = ()
    rows: int = 0
    unclear: list[int] = field(default_factory=list)
    line_end: Literal["\n", "\r\n"] = "\n"
    by_lines: bool = True


class _Escapes(NamedTuple):
    """
    Patterns of a record in which backslashes escape.

    :param clear: every backslash is in quotes, before a quote or a backslash: all programs read the same cells
    :param divided: programs read other cells, but all find the same record
    """

    clear: re.Pattern[str]
    divided: re.Pattern[str]


def read_records(texts: Iterator[str], dialect: Csv, records: Records) -> None:
    """Read a text to its end; raise BrokenError at the first record that is not clearly of the dialect."""
    for _ in each_record(texts, dialect, records, counts_plain=dialect.escape is None):
        pass


def each_record(
    texts: Iterator[str], dialect: Csv, records: Records, *, keeps_text: bool = False, counts_plain: bool = False
) -> Iterator[tuple[list[str], str]]:
    """
    Yield the cells of each record, the header first; raise BrokenError at the first that is not clearly of the dialect.

    :param keeps_text: yield the exact text of the record with it; otherwise the text may be empty
    :param counts_plain: count the records of a block without quotes, and do not yield them: that takes a tenth of the time
    """
    length, last = 0, ""
    lines: list[str] = []
    is_crlf: bool | None = None
    escapes = _escape_patterns(dialect)
    keeps_text = keeps_text or escapes is not None

    def limit_record() -> Iterator[str]:
        nonlocal length, last
        for line in _split_lines(blocks):
            last = line
            records.by_lines &= length == 0 and (line >= "!" or not _is_blank(line))
            length += len(line)
            if keeps_text:
                lines.append(line)
            if length > MAX_RECORD:
                raise BrokenError(f"{_after(records)} has more than {MAX_RECORD:,} characters: is a quote not closed?")
            yield line

    blocks = _split_blocks(texts, records)
    blocks = _count_plain(blocks, dialect, records, lambda: is_crlf if counts_plain and not length and records.columns else None)
    try:
        for record in csv.reader(limit_record(), **_format(dialect)):
            if last[-2:-1] == "\r" or is_crlf is not False:
                is_crlf = _check_line_end(last, is_crlf, records)
            text = "".join(lines) if keeps_text else ""
            lines.clear()
            if escapes is not None or length > MAX_CELLS:
                _check_record(record, text, escapes, records)
            length = 0
            if not record:  # blank lines are not records; Spark skips them too
                continue
            if records.columns:
                records.rows += 1
            else:
                records.columns = tuple(record)
            yield record, text
    except csv.Error as error:
        raise BrokenError(_explain(str(error), last, dialect, records)) from error
    if last.endswith("\r"):
        raise BrokenError(_LONE_CR.format("the last line"))


def _check_line_end(last: str, is_crlf: bool | None, records: Records) -> bool | None:
    """
    Check the end of a line that ends a record or is blank, and return whether it is CRLF.

    :param is_crlf: whether the first line ends in CRLF; None if this is the first one
    """
    if not last.endswith("\n"):
        return is_crlf
    found = last.endswith("\r\n")
    if last.endswith("\r\r\n"):
        raise BrokenError(_LONE_CR.format(_next(records)))
    if is_crlf is None:
        records.line_end = "\r\n" if found else "\n"
    elif found is not is_crlf:
        # Spark would leave a carriage return in the last cell of a row.
        first, other = ("CRLF", "LF") if is_crlf else ("LF", "CRLF")
        raise BrokenError(f"line endings differ: the first line ends in {first}, {_next(records)} in {other}")
    return found


def _check_record(record: Sequence[str], text: str, escapes: _Escapes | None, records: Records) -> None:
    if len(record) > MAX_CELLS:
        raise BrokenError(f"{_next(records)} has {len(record):,} cells, at most {MAX_CELLS:,} can be read")
    # With an escape character, csv.reader does not refuse text after a closing quote.
    if escapes is None or escapes.clear.fullmatch(text):
        return
    if "\\" not in text:
        raise BrokenError(_AFTER_QUOTE.format(_next(records)))
    if not records.columns or not escapes.divided.fullmatch(text):
        raise BrokenError(
            f"{_next(records)}: text after a closing quote, or a backslash outside quotes before a delimiter or the end of a line"
        )
    if len(records.unclear) == MAX_UNCLEAR:
        raise BrokenError(f"{_next(records)}: {UNCLEAR}, as in {MAX_UNCLEAR:,} rows before")
    records.unclear.append(records.rows + 1)


_WHITE = "".join(map(chr, range(33)))
UNCLEAR = "a backslash outside quotes, or before another character than a quote or a backslash"
_AFTER_QUOTE = "{}: text after a closing quote"
_CR_ALONE = "its lines end in a carriage return (CR) alone, expected LF or CRLF"
_LONE_CR = "{}: a carriage return (CR) without a line feed, outside quotes. Lines must end in LF or CRLF"


def _format(dialect: Csv) -> dict[str, Any]:
    return {
        "delimiter": dialect.delimiter,
        "quotechar": dialect.quote,
        "quoting": csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        "escapechar": dialect.escape,
        "doublequote": dialect.escape is None,
        "strict": True,
    }


def _escape_patterns(dialect: Csv) -> _Escapes | None:
    if dialect.escape is None:
        return None
    quote, delimiter = re.escape(str(dialect.quote)), re.escape(dialect.delimiter)
    clear = rf"(?:{quote}(?:[^{quote}\\]|\\[{quote}\\])*+{quote}|[^{quote}\\{delimiter}\n][^\\{delimiter}\n]*+)?+"
    plain = rf"\\[^{delimiter}\r\n]"
    divided = (
        rf"(?:{quote}(?:[^{quote}\\]|\\[\s\S])*+{quote}|(?:[^{quote}\\{delimiter}\n]|{plain})(?:[^\\{delimiter}\n]|{plain})*+)?+"
    )
    return _Escapes(*(re.compile(rf"{cell}(?:{delimiter}{cell})*+(?:\r?\n)?") for cell in (clear, divided)))


def _split_blocks(texts: Iterator[str], records: Records) -> Iterator[str]:
    """Yield blocks of whole lines; the last line of a file may have no end."""
    rest = ""
    for text in texts:
        if "\0" in text:
            raise BrokenError(f"a NUL character after row {records.rows}: a binary file, or one that was damaged")
        whole = rest + text
        end = whole.rfind("\n") + 1
        block, rest = whole[:end], whole[end:]
        if "\r" in block and block.count("\r") != block.count("\r\n"):
            records.by_lines = False
        if block:
            yield block
        if len(rest) > MAX_LINE:
            if "\r" in rest[:-1]:
                raise BrokenError(_CR_ALONE)
            raise BrokenError(f"a line of more than {MAX_LINE} characters")
    if rest:
        records.by_lines = records.by_lines and "\r" not in rest
        yield rest


def _count_plain(blocks: Iterator[str], dialect: Csv, records: Records, line_end: Callable[[], bool | None]) -> Iterator[str]:
    """
    Yield the blocks that a CSV reader must read, and count the records of the others.

    :param line_end: returns whether lines end in CRLF, or None if the header or a record is incomplete
    """
    for block in blocks:
        is_crlf = line_end()
        count = None if is_crlf is None else count_plain_lines(block, dialect.quote, is_crlf=is_crlf)
        if count is None:
            yield block
        else:
            records.rows += count


def _split_lines(blocks: Iterator[str]) -> Iterator[str]:
    for block in blocks:
        *lines, rest = block.split("\n")
        for line in lines:
            yield line + "\n"
        if rest:
            yield rest


def _is_blank(line: str) -> bool:
    """Return whether a line has white space only, and some. Spark skips it if it reads by lines."""
    return not line.strip(_WHITE) and line not in ("\n", "\r\n")


def _explain(error: str, last: str, dialect: Csv, records: Records) -> str:
    """Return an error of Python's csv in terms of the file."""
    place = _next(records)
    if "field larger" in error:
        return f"{place}: a cell of more than {csv.field_size_limit():,} characters: is a quote not closed?"
    if "new-line character" in error:
        return _LONE_CR.format(place) if records.columns or "\n" in last else _CR_ALONE
    if "unexpected end" in error:
        return f"{place}: a quote is not closed"
    if "expected after" in error:
        hint = ". If a backslash escapes quotes, set csv.escape" if f"\\{dialect.quote}" in last else ""
        return _AFTER_QUOTE.format(place) + hint
    return f"{place}: not readable as CSV ({error})"


def _after(records: Records) -> str:
    return f"the record after row {records.rows}" if records.columns else "the header"


def _next(records: Records) -> str:
    return f"row {records.rows + 1}" if records.columns else "the header"
