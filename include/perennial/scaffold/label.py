"""The label of a new pipeline: how a column is read, and which value, classes or number of it are predicted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median_low

from perennial.collect.header import quote_name
from perennial.config.label import MAX_CLASS_LENGTH, BinaryLabel, ClassesLabel, NumberLabel
from perennial.errors import RefusedError, did_you_mean
from perennial.scaffold.cells import Value, infer_type, read_cell
from perennial.scaffold.columns import Column
from perennial.store.json_value import JsonValue

MAX_CLASSES = 20
_CLASS_TYPES = ("string", "integer", "double")
_POSITIVE = {"true", "yes", "y", "t", "1", "1.0", "1,0", "positive", "pos"} | {
    *("ja", "oui", "si", "sí", "sì", "sim", "tak", "ano", "да", "是", "はい"),
    *("wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "prawda", "истина"),  # as spreadsheets write booleans
}
_PLAIN = re.compile(r"[\w .,:+/&()<>=-]{1,60}")
_MAX_TEXT = 60
_MAX_SHOWN = 5
_MAX_NUMBER = 1e30
"""Models compute in 32 bits, which hold numbers up to 3e38, and squared errors are sums of their squares."""


@dataclass(frozen=True, slots=True)
class Label:
    """
    The label, and how it divides the rows into two sides: leakage tells one from the other.

    :ivar target: the label of pipeline.yaml
    :ivar texts: the texts of the first side: the positive value, the most frequent class, or the numbers above the median
    :ivar sides: both sides in words
    :ivar value: the positive value or the most frequent class; None for a number
    :ivar base: the share of rows with this value; the mean of a number
    :ivar summary: the values of the sample in words
    :ivar facts: the values of the sample as JSON
    :ivar is_cast: whole numbers are written as 1.0 and 0.0; features.sql casts them
    """

    column: Column
    target: BinaryLabel | ClassesLabel | NumberLabel
    texts: frozenset[str] = field(repr=False)
    sides: tuple[str, str]
    value: bool | int | str | None
    base: float
    summary: str
    facts: dict[str, JsonValue]
    is_cast: bool = False

    @property
    def positive_share(self) -> float | None:
        """Return the share of positive rows; None if the label is no binary one."""
        return self.base if self.target.task == "binary" else None

    def answer(self, text: str) -> bool | None:
        """Return whether a cell is of the first side; None if it has no label."""
        return None if self.column.is_null(text) else text in self.texts


def read_label(
    column: Column,
    decimal: str = ".",
    *,
    positive: str | None = None,
    has_classes: bool = False,
    predict: str | None = None,
) -> Label:
    """
    Return the label in a column; refuse one that is constant, and one of more than two values if the user did not choose.

    :param positive: the text to predict, against all others
    :param has_classes: predict each of the values
    :param predict: the number to predict, as in `label.predict`
    """
    shown = ", ".join(map(quote_name, list(column.counts)[:_MAX_SHOWN])) + (", …" if column.distinct > _MAX_SHOWN else "")
    what = f"The label {column.header!r}"
    if column.distinct < 2:
        raise RefusedError(f"{what}: expected two values or more, found {shown or 'no value'} only")
    values = _read_values(column, decimal)
    if predict is not None:
        return _read_number(column, values, decimal, predict, what)
    if has_classes:
        return _read_classes(column, values, f"{what} has {len(set(values.values()))} values ({shown})", what)
    return _read_binary(column, values, positive, shown, what)


def _read_values(column: Column, decimal: str) -> dict[str, Value | None]:
    """Return the value of each text; numbers as whole ones if all are, such as 1.0."""
    values = {text: read_cell(column.type, text, decimal) for text in column.counts}
    if all(isinstance(value, float) and value.is_integer() for value in values.values()):
        return {text: int(value) for text, value in values.items() if isinstance(value, float)}
    return values


def _read_binary(column: Column, values: Mapping[str, Value | None], positive: str | None, shown: str, what: str) -> Label:
    counts = column.counts
    if positive is not None and positive not in counts:
        near = did_you_mean(positive, [text for text in counts if len(text) <= _MAX_TEXT][:1000])
        raise RefusedError(f"{what} has no value {quote_name(positive)}.{near}", remedy=f"It has {shown}.")
    has_fractions = any(isinstance(value, float) for value in values.values())
    if positive is None:
        if len(set(values.values())) > 2:
            raise RefusedError(
                f"{what} has {column.distinct} values ({shown}), expected two",
                remedy=f"Choose what to predict: {_list_choices(column, values, has_fractions=has_fractions)}.",
            )
        positive = next(
            (text for text in counts if text.lower() in _POSITIVE), min(counts, key=lambda text: (counts[text], text))
        )
    if has_fractions:
        raise RefusedError(
            f"{what} has numbers with fractions ({shown})", remedy="Write the label as 0 and 1, or predict the number: --predict."
        )
    wanted = values[positive]
    if not isinstance(wanted, bool | int):
        wanted = _require_plain(column, positive, "positive value", what)
    texts = _texts_of(wanted, values)
    share = _rows(column, texts) / column.rows
    return Label(
        column=column,
        target=BinaryLabel(column=column.name, positive=wanted),
        texts=texts,
        sides=("positive", "negative"),
        value=wanted,
        base=round(share, 4),
        summary=f"{share:.1%} of the rows are positive",
        facts={"share": round(share, 4)},
        is_cast=column.type == "double",
    )


def _list_choices(column: Column, values: Mapping[str, Value | None], *, has_fractions: bool) -> str:
    """Return the options that fit a label of more than two values."""
    choices = [] if has_fractions else ["--positive VALUE for one value against all others"]
    has_classes = not has_fractions and column.type in _CLASS_TYPES and len(set(values.values())) <= MAX_CLASSES
    if has_classes and column.rows >= 2 * column.distinct:
        choices.append("--classes for each of them")
    if column.type in ("integer", "double"):
        choices.append("--predict median (or mean, or 'quantile 0.9') for a number")
    return ", ".join(choices)


def _read_classes(column: Column, values: Mapping[str, Value | None], found: str, what: str) -> Label:
    counts: Counter[int | str] = Counter()
    for text, value in values.items():
        if column.type not in _CLASS_TYPES or not isinstance(value, int | str):
            raise RefusedError(f"{found}, expected texts or whole numbers as classes")
        counts[value] += column.counts[text]
    if not 3 <= len(counts) <= MAX_CLASSES:
        remedy = "Leave out --classes." if len(counts) < 3 else "Group rare values in the files, or choose one: --positive VALUE."
        raise RefusedError(f"{found}, expected 3 to {MAX_CLASSES} classes", remedy=remedy)
    if column.longest > MAX_CLASS_LENGTH:
        raise RefusedError(f"{found}, expected classes of at most {MAX_CLASS_LENGTH} characters", remedy="Write short names.")
    classes = sorted(counts, key=lambda value: (-counts[value], str(value)))
    first = classes[0]
    if isinstance(first, str):
        _require_plain(column, first, "most frequent class", what)
    shares = {str(value): round(counts[value] / column.rows, 4) for value in classes}
    return Label(
        column=column,
        target=ClassesLabel(column=column.name, classes=classes),
        texts=_texts_of(first, values),
        sides=(str(first), f"not {first}"),
        value=first,
        base=shares[str(first)],
        summary=f"{_percent(first, shares)}, {_percent(classes[-1], shares)} of the rows",
        facts={"shares": dict(shares)},
        is_cast=column.type == "double",
    )


def _read_number(column: Column, values: Mapping[str, Value | None], decimal: str, predict: str, what: str) -> Label:
    if column.type not in ("integer", "double"):
        others = (text for text in column.counts if infer_type([text], decimal) not in ("integer", "double"))
        raise RefusedError(
            f"{what}: expected numbers, found {quote_name(next(others, next(iter(column.counts))))}",
            remedy="Write each in digits, without a unit or a thousands separator; a label that is not known is empty.",
        )
    by_text = {text: float(value) for text, value in values.items() if isinstance(value, int | float)}
    numbers = [by_text[text] for text in column.counts.elements()]
    low, middle, high, mean = min(numbers), median_low(numbers), max(numbers), sum(numbers) / len(numbers)
    if max(-low, high) > _MAX_NUMBER:
        raise RefusedError(f"{what} has {max(numbers, key=abs):g}, expected numbers up to {_MAX_NUMBER:g}")
    above = frozenset(text for text, number in by_text.items() if number > middle)
    at_least = frozenset(text for text, number in by_text.items() if number >= middle)
    # Many rows may have the median itself: the sides are to be as equal as they can be.
    is_above = abs(_rows(column, above) - column.rows / 2) <= abs(_rows(column, at_least) - column.rows / 2)
    return Label(
        column=column,
        target=NumberLabel(column=column.name, predict=predict),
        texts=above if is_above else at_least,
        sides=(f"above {middle:g}", f"at most {middle:g}") if is_above else (f"at least {middle:g}", f"below {middle:g}"),
        value=None,
        base=float(f"{mean:.4g}"),
        summary=f"{low:g} to {high:g}, median {middle:g}, mean {mean:.4g}",
        facts={"min": low, "median": middle, "mean": mean, "max": high},
    )


def _texts_of(wanted: int | str, values: Mapping[str, Value | None]) -> frozenset[str]:
    return frozenset(text for text, value in values.items() if value == wanted)


def _rows(column: Column, texts: frozenset[str]) -> int:
    return sum(column.counts[text] for text in texts)


def _percent(value: int | str, shares: Mapping[str, float]) -> str:
    shown = quote_name(value) if isinstance(value, str) else value
    return f"{shown} in {shares[str(value)]:.1%}"


def _require_plain(column: Column, text: str, role: str, what: str) -> str:
    """Return a text that the lookup's SQL holds in quotes; refuse others."""
    # Marks, such as the vowels of Hindi, are parts of letters.
    letters = "".join(char for char in text if not unicodedata.category(char).startswith("M"))
    if column.type != "string" or not _PLAIN.fullmatch(letters) or len(text) > _MAX_TEXT:
        raise RefusedError(
            f"{what}: the {role} {quote_name(text)} is not a plain word", remedy="Write the label in whole numbers, or as words."
        )
    return text
