"""The label of a new pipeline: a column with two values, one of which is the positive one."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from perennial.collect.header import quote_name
from perennial.errors import RefusedError, did_you_mean
from perennial.scaffold.cells import read_cell
from perennial.scaffold.columns import Column

_POSITIVE = {"true", "yes", "y", "t", "1", "1.0", "1,0", "positive", "pos"} | {
    *("ja", "oui", "si", "sí", "sì", "sim", "tak", "ano", "да", "是", "はい"),
    *("wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "prawda", "истина"),  # as spreadsheets write booleans
}
_PLAIN = re.compile(r"[\w .,:+/-]{1,60}")
_MAX_TEXT = 60
_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Label:
    """
    The label, and which of its texts are positive.

    :ivar positive: the value for `label.positive`
    :ivar is_cast: the numbers are written as 1.0 and 0.0; features.sql casts them to whole numbers
    """

    column: Column
    positive: bool | int | str
    texts: frozenset[str]
    is_cast: bool = False

    def answer(self, text: str) -> bool | None:
        """Return whether a cell is positive; None if it has no label."""
        return None if self.column.is_null(text) else text in self.texts

    @property
    def share(self) -> float:
        """Return the share of positive rows among the labelled ones."""
        return sum(self.column.counts[text] for text in self.texts) / self.column.rows


def read_label(column: Column, positive: str | None = None, decimal: str = ".") -> Label:
    """Return the label in a column; refuse one with a single value, and one with more than two unless the positive is named."""
    counts = column.counts
    shown = ", ".join(map(quote_name, list(counts)[:_MAX_SHOWN])) + (", …" if column.distinct > _MAX_SHOWN else "")
    what = f"The label {column.header!r}"
    if column.distinct < 2:
        raise RefusedError(f"{what}: expected two values, found {shown or 'no value'} only")
    if positive is not None and positive not in counts:
        near = did_you_mean(positive, [text for text in counts if len(text) <= _MAX_TEXT][:1000])
        raise RefusedError(f"{what} has no value {quote_name(positive)}.{near}", remedy=f"It has {shown}.")
    values = {text: read_cell(column.type, text, decimal) for text in counts}
    if positive is None:
        if len(set(values.values())) > 2:
            raise RefusedError(
                f"{what} has {column.distinct} values ({shown}), expected two",
                remedy="Name the one to predict, against all others: --positive VALUE.",
            )
        positive = next(
            (text for text in counts if text.lower() in _POSITIVE), min(counts, key=lambda text: (counts[text], text))
        )
    wanted = values[positive]
    texts = frozenset(text for text, value in values.items() if value == wanted)
    if isinstance(wanted, float):
        if not wanted.is_integer() or any(not isinstance(value, float) or not value.is_integer() for value in values.values()):
            raise RefusedError(f"{what} has numbers with fractions ({shown})", remedy="Write the label as 0 and 1.")
        return Label(column, int(wanted), texts, is_cast=True)
    if isinstance(wanted, bool | int):
        return Label(column, wanted, texts)
    # Marks, such as the vowels of Hindi, are parts of letters.
    letters = "".join(char for char in positive if not unicodedata.category(char).startswith("M"))
    if column.type != "string" or not _PLAIN.fullmatch(letters) or len(positive) > _MAX_TEXT:
        raise RefusedError(
            f"{what}: the positive value {quote_name(positive)} is not a plain word",
            remedy="Write the label as 0 and 1, or as words.",
        )
    return Label(column, positive, texts)
