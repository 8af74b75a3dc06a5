"""The dialect of CSV files, guessed by DuckDB's sniffer and proved by a strict reader."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from perennial.errors import RefusedError

DELIMITERS = (",", ";", "\t", "|", ":", "^", "~")
_PROOF_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Dialect:
    """The key `csv` of a source. `escape` None: a quote within quotes is doubled."""

    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    decimal: str = "."

    @property
    def settings(self) -> dict[str, Any]:
        """Return the values that differ from the defaults."""
        defaults = asdict(Dialect())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}

    def read(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Yield the records of lines, strictly; raise csv.Error at a text that is not of the dialect."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            doublequote=self.escape is None,
            strict=True,
        )


def sniff(head: str, encoding: str, name: Path) -> tuple[Dialect, dict[str, str]]:
    """
    Return the dialect of a text, and {column: form} of the dates that DuckDB reads in another form than ISO 8601.

    It is the dialect that divides the most records into as many cells as the header has, and into two or more.
    """
    if "\r" in head and "\n" not in head:
        raise RefusedError(f"{name}: its lines end in a carriage return (CR) alone", remedy="Expected LF or CRLF.")
    found, formats = _ask_duckdb(head)
    guess = replace(found, encoding=encoding)
    # Only where a backslash is before a quote: Python's reader is lenient after a quote in this dialect.
    escaped = [replace(guess, escape="\\")] if f"\\{guess.quote}" in head else []
    plain = Dialect(encoding=encoding)
    candidates = [guess, *escaped, plain, *(replace(plain, delimiter=delimiter) for delimiter in DELIMITERS)]
    fits = [_count_fitting(head, dialect) for dialect in candidates]
    if not max(fits):
        raise RefusedError(
            f"{name}: one column only", remedy="Expected a label and at least one input, separated by one of , ; tab | : ^ ~."
        )
    return candidates[fits.index(max(fits))], formats


def _ask_duckdb(head: str) -> tuple[Dialect, dict[str, str]]:
    """Ask DuckDB's sniffer; the default dialect replaces one that it does not find, or that we do not read."""
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
                query = "SELECT Delimiter, Quote, Escape, Columns, DateFormat, TimestampFormat FROM sniff_csv(?)"
                found = connection.execute(query, [str(file)]).fetchone()
            except duckdb.Error:  # it is only a guess: the strict reader says what is wrong with the file
                found = None
    if found is None or found[0] not in DELIMITERS:
        return Dialect(), {}
    forms = {"DATE": found[4], "TIMESTAMP": found[5]}
    formats = {
        column["name"]: form for column in found[3] if (form := forms.get(column["type"])) and not form.startswith("%Y-%m-%d")
    }
    # Without a cell in single quotes, they are a guess that would hide text after a closing double quote.
    is_single = found[1] == "'" and (f"{found[0]}'" in head or "\n'" in head)
    return Dialect(found[0], "'" if is_single else '"', "\\" if found[2] == "\\" else None), formats


def _count_fitting(head: str, dialect: Dialect) -> int:
    """Count the first records that have as many cells as the header, if it has two or more."""
    count = width = 0
    try:
        for record in dialect.read(_lines(head)):
            width = width or len(record)
            if count == _PROOF_ROWS or len(record) not in (0, width) or width == 1:
                break
            count += 1
    except csv.Error:
        return count  # the strict reading of the sample names the row
    return count


def _lines(head: str) -> Iterator[str]:
    for line in head.split("\n"):
        yield line + "\n"
