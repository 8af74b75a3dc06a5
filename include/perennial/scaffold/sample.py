"""A sample of the rows of CSV files, in bounded memory: the first rows, and evenly chosen ones of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from perennial.collect.header import quote_name
from perennial.config.dialect import Csv
from perennial.errors import RefusedError, did_you_mean
from perennial.scaffold.files import File, check_header, read_file
from perennial.scaffold.torn import Torn

MAX_COLUMNS = 2000
MAX_CELLS = 2_000_000
MAX_ROWS = 100_000
MAX_CHARACTERS = 256_000_000
MAX_KEPT = 50_000_000
"""Characters of the kept rows: Python holds one in up to four bytes."""

MAX_FILES = 400


@dataclass(slots=True)
class Sample:
    """
    Rows as texts, with the date in the name of each row's file.

    :ivar head: the first so many rows follow each other in the files; the others are every n-th
    :ivar seen: rows that were read to choose these
    :ivar torn: the rows with another number of cells than the header, which are not in `rows`
    :ivar file_days: the dates in the names of all files, also of those that were not read
    """

    header: tuple[str, ...]
    dialect: Csv
    rows: list[tuple[str, ...]] = field(default_factory=list)
    days: list[date | None] = field(default_factory=list)
    places: list[tuple[File, int]] = field(default_factory=list)
    """The file and the number of each row."""

    head: int = 0
    seen: int = 0
    torn: Torn = field(default_factory=Torn)
    file_days: frozenset[date] = frozenset()

    def cells(self, column: int) -> list[str]:
        """Return the texts of one column."""
        return [row[column] for row in self.rows]

    def index(self, name: str) -> int:
        """Return the place of a column by its name in the header; refuse a name that is not there."""
        if name in self.header:
            return self.header.index(name)
        raise RefusedError(
            f"No column {name!r}.{did_you_mean(name, self.header)}", remedy=f"The header has {', '.join(self.header[:20])}."
        )


def read_sample(files: Sequence[File], dialect: Csv) -> Sample:
    """Read the sample; refuse files with another header, and files in which many rows are torn."""
    chosen = files[:: max(1, -(-len(files) // MAX_FILES))]
    header = tuple(next(read_file(chosen[0], dialect), ([], ""))[0])
    check_names(header, chosen[0])
    sample = Sample(header, dialect, file_days=frozenset(file.day for file in files if file.day is not None))
    limit, step, skipped, kept = min(MAX_ROWS, MAX_CELLS // len(header)), 1, 0, 0
    texts: dict[str, str] = {}  # equal texts are kept once
    for file in chosen:
        budget = MAX_CHARACTERS // len(chosen)
        for number, record in _rows(file, dialect, header, chosen[0], sample.torn):
            size = sum(map(len, record))
            budget -= size
            if budget < 0:
                break
            sample.seen += 1
            skipped += 1
            if skipped < step:
                continue
            skipped = 0
            kept += size
            sample.rows.append(tuple([texts.setdefault(text, text) if len(text) < 40 else text for text in record]))
            sample.days.append(file.day)
            sample.places.append((file, number))
            while len(sample.rows) == limit or kept > MAX_KEPT:
                step *= 2
                sample.head = len(sample.rows) // 2 if sample.head == 0 else min(sample.head, len(sample.rows) // 2)
                for values in (sample.rows, sample.days, sample.places):
                    del values[sample.head :: 2]
                kept = sum(sum(map(len, row)) for row in sample.rows)
    sample.torn.require_few(sample.seen)
    if not sample.rows:
        raise RefusedError(f"{chosen[0].path}: a header without rows", remedy="Expected rows to learn from.")
    sample.head = sample.head or len(sample.rows)
    return sample


def check_names(header: Sequence[str], file: File) -> None:
    """Refuse a header that does not name each column once, or that is a row of values."""
    empty = [number for number, name in enumerate(header, 1) if not name.strip()]
    values = [name for name in header if _is_value(name)]
    twice = {name: count for name, count in Counter(header).items() if count > 1 and name.strip()}
    problems = [f"{len(header)} columns, at most {MAX_COLUMNS} are read"] if len(header) > MAX_COLUMNS else []
    problems += [f"column {number} has no name (pandas writes its index so: use index=False)" for number in empty]
    problems += [f"no header: the first row holds the value {quote_name(values[0])}"] if values else []
    problems += [f"column {quote_name(name)} is in the header {count} times" for name, count in twice.items()]
    problems += [
        f"column {quote_name(name)}: expected a name of printable characters" for name in header if not name.isprintable()
    ]
    problems += [f"column {quote_name(name)}: expected at most 200 characters" for name in header if len(name) > 200]
    problems += ["one column only: expected a label and at least one input"] if len(header) == 1 else []
    problems += ["its first line is a note for Excel: delete it"] if header[0].lower().startswith("sep=") else []
    if problems:
        raise RefusedError(str(file.path), problems)


def _is_value(name: str) -> bool:
    return name.strip("+-")[:1].isdigit() and not any(char.isalpha() for char in name.replace("T", "").replace("Z", ""))


def _rows(file: File, dialect: Csv, header: Sequence[str], first: File, torn: Torn) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row of one file, and add the torn ones to `torn`; refuse another header."""
    records = read_file(file, dialect)
    check_header(next(records, ([], ""))[0], file, header, first)
    for number, (record, _) in enumerate(records, 1):
        if len(record) == len(header):
            yield number, record
        else:
            torn.add(file, number, len(record), len(header), file.day)
