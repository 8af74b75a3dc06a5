"""The columns of a sample: name, type, texts for null, and the values that were seen."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace

from perennial.config.date_format import read_format
from perennial.config.values import COLUMN, OWN_COLUMNS
from perennial.scaffold.cells import infer_type, iso_text
from perennial.scaffold.date_formats import find_formats
from perennial.scaffold.sample import Sample

NULL_TEXTS = ("NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "#N/A", "\\N", "-", "?", ".")
_CODE = re.compile(r"[A-Z]{2}")
_MAX_NAME = 50


@dataclass(slots=True)
class Column:
    """
    One column of the sample.

    :ivar counts: rows by text, without nulls; dates of a format are in ISO 8601
    :ivar note: a doubt about the type, for the reader of the YAML
    :ivar formats: the formats that read each text as a date; the type is string where several do
    """

    header: str
    name: str
    type: str
    null_text: str | None
    nulls: int
    counts: Counter[str] = field(repr=False)
    note: str = ""
    formats: tuple[str, ...] = ()

    @property
    def format(self) -> str | None:
        """Return the format of the dates in the files; None: ISO 8601, or no dates."""
        return self.formats[0] if len(self.formats) == 1 else None

    @property
    def rows(self) -> int:
        """Return the number of rows with a value."""
        return self.counts.total()

    @property
    def distinct(self) -> int:
        """Return the number of different values."""
        return len(self.counts)

    @property
    def longest(self) -> int:
        """Return the number of characters of the longest text."""
        return max(map(len, self.counts), default=0)

    def is_null(self, text: str) -> bool:
        """Return whether a text of this column means null."""
        return text == "" or text == self.null_text


def describe_columns(sample: Sample, date_format: str | None = None) -> tuple[Sample, list[Column]]:
    """
    Return the columns of a sample, and the sample with its decimal mark and with all dates in ISO 8601.

    :param date_format: the user's format of dates
    """
    counts = [Counter(sample.cells(index)) for index in range(len(sample.header))]
    decimal = _find_decimal(counts, sample.dialect.delimiter)
    dialect = sample.dialect.model_copy(update={"decimal": decimal})
    names = column_names(sample.header)
    columns = [
        _describe(header, name, texts, decimal, date_format)
        for header, name, texts in zip(sample.header, names, counts, strict=True)
    ]
    return replace(sample, dialect=dialect, rows=_with_iso(sample.rows, columns)), columns


def _with_iso(rows: list[tuple[str, ...]], columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Return the rows with the dates of each format in ISO 8601; texts for null stay."""
    dated = [(index, column) for index, column in enumerate(columns) if column.format]
    if not dated:
        return rows
    known = {index: {text: text for text in ("", column.null_text) if text is not None} for index, column in dated}

    def read(row: tuple[str, ...]) -> tuple[str, ...]:
        cells = list(row)
        for index, column in dated:
            text = cells[index]
            if text not in known[index]:
                known[index][text] = iso_text(text, column.format) or text
            cells[index] = known[index][text]
        return tuple(cells)

    return [read(row) for row in rows]


def column_names(header: Iterable[str]) -> list[str]:
    """Return a valid, unique column name for each name of a header; a valid name stays."""
    header = list(header)
    taken = {name for name in header if is_column_name(name)}
    names = []
    for number, text in enumerate(header, 1):
        name = text
        if not is_column_name(text):
            plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
            plain = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_MAX_NAME] or f"column_{number}"
            plain = f"c_{plain}" if plain[0].isdigit() else f"{plain}_value" if plain in OWN_COLUMNS else plain
            name = free_name(plain, taken)
            taken.add(name)
        names.append(name)
    return names


def free_name(name: str, taken: Container[str | None]) -> str:
    """Return a name, with a number behind it if it is taken."""
    return next(one for one in (name, *(f"{name}_{n}" for n in range(2, 10_000))) if one not in taken)


def is_column_name(text: str) -> bool:
    """Return whether a text can be the name of a column in the contract."""
    return COLUMN.fullmatch(text) is not None and text not in OWN_COLUMNS and not text.startswith("__")


def _describe(header: str, name: str, texts: Counter[str], decimal: str, date_format: str | None) -> Column:
    empty = texts.pop("", 0)
    kind, null_text = _find_type(texts, decimal)
    note = ""
    formats: tuple[str, ...] = ()
    if kind in ("string", "integer"):
        formats, absent = _find_formats(texts, date_format)
        null_text = absent if formats else null_text
    if null_text is not None:
        empty += texts.pop(null_text)
    if len(formats) == 1:
        kind, texts = read_format(formats[0]).kind, _iso_counts(texts, formats[0])
        note = "yy is a year from 2000 to 2099" if "yyyy" not in formats[0] else ""
    elif formats:
        kind, note = "string", f"its dates fit {' and '.join(formats)}: --date-format chooses one"
    other = [text for text in NULL_TEXTS if text in texts]
    if kind == "string" and other and texts.keys() - set(other):
        rest = infer_type(texts.keys() - set(other), decimal)
        if rest != "string":
            shown = ", ".join(filter(None, [null_text, *other]))
            note = f"all but {shown} is {rest}; a column has one text for null, so clean these first"
    return Column(header, name, kind, null_text, empty, texts, note, formats)


def _iso_counts(texts: Counter[str], date_format: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text, count in texts.items():
        counts[iso_text(text, date_format) or text] += count
    return counts


def _find_formats(texts: Counter[str], date_format: str | None) -> tuple[tuple[str, ...], str | None]:
    """Return the formats that read each text as a date, and the text that means null, if there is one."""
    for absent in (None, *(text for text in NULL_TEXTS if text in texts)):
        if formats := find_formats(texts.keys() - {absent}, date_format):
            return formats, absent
    return (), None


def _find_type(texts: Counter[str], decimal: str) -> tuple[str, str | None]:
    """Return the type and the text that means null, if there is one."""
    kind = infer_type(texts.keys(), decimal)
    present = sorted((text for text in NULL_TEXTS if text in texts), key=lambda text: -texts[text])
    if kind != "string" or not present:
        return kind, None
    for text in present:
        rest = texts.keys() - {text}
        if rest and (other := infer_type(rest, decimal)) != "string":
            return other, text
    likely = present[0]
    others = texts.keys() - {likely}
    # Codes of two letters, such as countries and carriers: there NA is a value.
    is_code = likely == "NA" and bool(others) and all(_CODE.fullmatch(text) for text in others)
    return "string", None if is_code or likely in ("-", "?", ".") else likely


def _find_decimal(counts: Sequence[Counter[str]], delimiter: str) -> str:
    """Return a comma where columns are numbers only if a comma is their decimal mark, and none needs a point."""
    if delimiter == ",":
        return "."
    points = commas = 0
    for texts in counts:
        values = texts.keys() - {"", *NULL_TEXTS}
        point, comma = infer_type(values, "."), infer_type(values, ",")
        points += point == "double"
        commas += comma == "double" and point == "string"
    return "," if commas and not points else "."
