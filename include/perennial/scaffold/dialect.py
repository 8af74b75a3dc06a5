"""The dialect of CSV files: guessed by DuckDB's sniffer, and chosen by how many records the strict reader then reads."""

from __future__ import annotations

import re
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, get_args

from perennial.collect.broken import BrokenError
from perennial.collect.plain_lines import MAX_CELLS
from perennial.collect.records import Records, each_record
from perennial.config.dialect import Csv
from perennial.errors import RefusedError

DELIMITERS = get_args(Csv.model_fields["delimiter"].annotation)
_PROOF_ROWS = 1000


def sniff(head: str, encoding: str, name: Path) -> Csv:
    """
    Return the dialect of a text.

    It is the dialect that divides the most records into as many cells as the header has, and into two or more.
    """
    if "\r" in head and "\n" not in head:
        raise RefusedError(f"{name}: its lines end in a carriage return (CR) alone", remedy="Expected LF or CRLF.")
    guess = _ask_duckdb(head)
    settings = [guess, {**guess, "escape": None}, {**guess, "escape": "\\"}, {}, *({"delimiter": char} for char in DELIMITERS)]
    dialects = [Csv.model_validate({**values, "encoding": encoding}) for values in settings]
    fits = [_count_fitting(head, dialect) for dialect in dialects]
    if not max(fits):
        _refuse(head, Csv.model_validate({"encoding": encoding}), name)
    return dialects[fits.index(max(fits))]


def _refuse(head: str, dialect: Csv, name: Path) -> NoReturn:
    """Refuse a text that no dialect divides into columns."""
    try:
        first = next(each_record(iter([head]), dialect, Records()), ([""], ""))[0]
    except BrokenError as error:
        raise RefusedError(f"{name}: {error}") from None
    raise RefusedError(
        f"{name}: one column only, its first line is {first[0][:60]!r}",
        remedy="Expected a label and at least one input, separated by one of , ; tab | : ^ ~.",
    )


def _ask_duckdb(head: str) -> dict[str, Any]:
    """Ask DuckDB's sniffer; the default dialect replaces one that it does not find, or that we do not read."""
    if max(map(head.partition("\n")[0].count, DELIMITERS)) > MAX_CELLS:
        return {}  # the sniffer would take half a gigabyte
    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.csv"
        file.write_text(head, encoding="utf-8", newline="")
        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": "1",
        }
        with duckdb.connect(config=settings) as connection:
            try:
                query = "SELECT Delimiter, Quote, Escape FROM sniff_csv(?)"
                found = connection.execute(query, [str(file)]).fetchone()
            except duckdb.Error:  # it is only a guess: the strict reader says what is wrong with the file
                found = None
    if found is None or found[0] not in DELIMITERS:
        return {}
    # Without a text in single quotes, they are a guess that would hide text after a closing double quote.
    is_single = found[1] == "'" and re.search(rf"(^|{re.escape(found[0])})'[^'\r\n]", head, re.MULTILINE)
    return {"delimiter": found[0], "quote": "'" if is_single else '"', "escape": "\\" if found[2] == "\\" else None}


def _count_fitting(head: str, dialect: Csv) -> int:
    """Count those of the first records that have as many cells as the header, if it has two or more."""
    count = width = 0
    try:
        for record, _ in islice(each_record(iter([head]), dialect, Records()), _PROOF_ROWS):
            width = width or len(record)
            if width == 1:
                break
            count += len(record) == width
    except BrokenError:
        return count  # the strict reading of the sample names the row
    return count
