"""The columns of a sample: name, type, texts for null, and the values that were seen."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from perennial.config.dialect import Csv
from perennial.config.values import COLUMN
from perennial.scaffold.cells import infer_type
from perennial.scaffold.sample import Sample

NULL_TEXTS = ("NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "#N/A", "\\N", "-", "?", ".")
_CODE = re.compile(r"[A-Z]{2}")
_MAX_NAME = 50
_RESERVED = {"date", "as_of", "_metadata"}


@dataclass(slots=True)
class Column:
    """
    One column of the sample.

    :ivar counts: rows by text, without nulls
    :ivar note: a doubt about the type, for the reader of the YAML
    """

    header: str
    name: str
    type: str
    null_text: str | None
    nulls: int
    counts: Counter[str] = field(repr=False)
    note: str = ""

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


def describe_columns(sample: Sample) -> tuple[Csv, list[Column]]:
    """Return the columns of a sample, and its dialect with the decimal mark that the numbers have."""
    counts = [Counter(sample.cells(index)) for index in range(len(sample.header))]
    decimal = _find_decimal(counts, sample.dialect.delimiter)
    dialect = sample.dialect.model_copy(update={"decimal": decimal})
    names = column_names(sample.header)
    return dialect, [
        _describe(header, name, texts, decimal) for header, name, texts in zip(sample.header, names, counts, strict=True)
    ]


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
            plain = f"c_{plain}" if plain[0].isdigit() else f"{plain}_value" if plain in _RESERVED else plain
            name = free_name(plain, taken)
            taken.add(name)
        names.append(name)
    return names


def free_name(name: str, taken: Container[str | None]) -> str:
    """Return a name, with a number behind it if it is taken."""
    return next(one for one in (name, *(f"{name}_{n}" for n in range(2, 10_000))) if one not in taken)


def is_column_name(text: str) -> bool:
    """Return whether a text can be the name of a column in the contract."""
    return COLUMN.fullmatch(text) is not None and text not in _RESERVED and not text.startswith("__")


def _describe(header: str, name: str, texts: Counter[str], decimal: str) -> Column:
    empty = texts.pop("", 0)
    kind, null_text = _find_type(texts, decimal)
    note = ""
    if null_text is not None:
        empty += texts.pop(null_text)
    other = [text for text in NULL_TEXTS if text in texts]
    if kind == "string" and other and texts.keys() - set(other):
        rest = infer_type(texts.keys() - set(other), decimal)
        if rest != "string":
            shown = ", ".join(filter(None, [null_text, *other]))
            note = f"all but {shown} is {rest}; a column has one text for null, so clean these first"
    return Column(header, name, kind, null_text, empty, texts, note)


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
