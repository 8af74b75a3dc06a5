"""The request fields of a new pipeline: how each column enters the model, or why it does not."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.scaffold.cells import read_cell
from perennial.scaffold.columns import Column
from perennial.scaffold.key import is_id

MAX_CLASSES = 100
"""A category of more values is a key of a lookup, not an input of the model."""

MAX_TEXT = 200
MAX_EXACT = 2**24
"""The model computes in 32 bits, which hold whole numbers up to this one exactly."""

_MIN_DISTINCT = 50


@dataclass(frozen=True, slots=True)
class Field:
    """
    One request field.

    :ivar type: as in `inputs.request`, without `?`
    :ivar is_cast: features.sql turns the number of the column into a text
    :ivar is_wide: a category of many values: only a lookup can use it
    """

    name: str
    type: str
    nullable: bool
    example: str
    is_cast: bool = False
    is_wide: bool = False


def choose_field(column: Column, decimal: str) -> Field | str:
    """Return the field of a column, or the reason to leave it out of the inputs."""
    if not column.distinct:
        return "it is empty in every row of the sample"
    if column.distinct == 1 and not column.nulls:
        return f"it has the same value in every row of the sample, {next(iter(column.counts))[:40]!r}"
    if len(column.formats) > 1:
        return column.note
    if column.type == "timestamp":
        return "a timestamp is no input; derive a number, a time or a date from it in features.sql"
    nullable, example = column.nulls > 0, column.counts.most_common(1)[0][0]
    if column.type in ("boolean", "date", "time"):
        return Field(column.name, column.type, nullable, example)
    if column.type in ("integer", "double") and not (column.type == "integer" and is_id(column.name)):
        if _max_number(column, decimal) > MAX_EXACT and column.type == "integer":
            return "its whole numbers are too large for the 32 bits of the model, which would merge near ones"
        return Field(column.name, "number", nullable, example)
    return _choose_category(column, nullable, example)


def _choose_category(column: Column, nullable: bool, example: str) -> Field | str:
    if column.distinct > max(_MIN_DISTINCT, column.rows // 2):
        return f"{column.distinct} values in {column.rows} rows: an identifier of the row, or free text"
    if column.longest > MAX_TEXT:
        return f"texts of up to {column.longest} characters are too long for a category"
    return Field(
        column.name, "category", nullable, example, is_cast=column.type == "integer", is_wide=column.distinct > MAX_CLASSES
    )


def _max_number(column: Column, decimal: str) -> float:
    values = (read_cell(column.type, text, decimal) for text in column.counts)
    return max((abs(value) for value in values if isinstance(value, int | float)), default=0)
