"""The first rule that a row breaks. Rules are numbers until a row is shown: rows stay small, and so does the code of a query."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from perennial.clean.cells import present, typed
from perennial.clean.files import CORRUPT
from perennial.clean.job_file import Rules

KINDS = ("required", "type", "range", "enum", "max_length", "cells", "duplicate_key")
CELLS, DUPLICATE_KEY = (KINDS.index(kind) for kind in ("cells", "duplicate_key"))
"""The rules of a whole row, which is column 0."""

RULE = "rule"
_MAX_SHOWN = 200


def check_cells(rows: DataFrame, columns: Mapping[str, Rules], decimal: str, missing: Collection[str]) -> DataFrame:
    """
    Add to rows of cells: the typed columns `value_…`, the number of the first broken rule or null, and the offending text.

    Texts, values and rule are computed in steps: without, Spark would repeat an expression in each place that uses it.

    :param missing: columns that some drops lack
    """
    names = list(columns)
    texts = rows.select("*", *[present(F.col(f"cell_{name}"), columns[name].null_text).alias(f"text_{name}") for name in names])
    read = [typed(columns[name].type, F.col(f"text_{name}"), decimal, columns[name].format) for name in names]
    values = texts.select("*", *[value.alias(f"value_{name}") for name, value in zip(names, read, strict=True)])
    rule = F.when(F.col(f"cell_{CORRUPT}").isNotNull(), F.lit(CELLS))
    for place, name in enumerate(names, 1):
        lacks = F.array_contains(F.split("lacks", ","), name) if name in missing else None
        for kind, is_broken in _checks(columns[name], F.col(f"text_{name}"), F.col(f"value_{name}"), lacks):
            rule = rule.when(is_broken, F.lit(place * len(KINDS) + KINDS.index(kind)))
    ruled = values.withColumn(RULE, rule)
    offending = F.elt(_place() + 1, F.col(f"cell_{CORRUPT}"), *[F.col(f"text_{name}") for name in names])
    shown = F.when(F.col(RULE).isNotNull(), F.substring(offending, 1, _MAX_SHOWN)).alias("broken_text")
    return ruled.select(*rows.columns, *[f"value_{name}" for name in names], RULE, shown)


def _checks(rules: Rules, text: Column, value: Column, lacks: Column | None) -> Iterator[tuple[str, Column]]:
    """
    Yield the rules of a cell, in order, each with the condition that it is broken.

    :param text: the present text of the cell
    :param value: its typed value
    :param lacks: whether the row's drop lacks the column, as the contract allows; None: no drop lacks it
    """
    if rules.required:
        yield "required", text.isNull() if lacks is None else text.isNull() & ~lacks
    yield "type", text.isNotNull() & value.isNull()
    if rules.range is not None:
        low, high = rules.range
        yield "range", (value < low) | (value > high)
    if rules.enum is not None:
        yield "enum", ~value.isin(*rules.enum)
    if rules.type == "string":
        yield "max_length", F.length(value) > rules.max_length


def name_rule(number: int, columns: Sequence[str], key: Sequence[str]) -> tuple[str, str]:
    """Return the column and the name of a rule."""
    place, kind = divmod(number, len(KINDS))
    if kind == DUPLICATE_KEY:
        return ", ".join(key), KINDS[kind]
    return ("", *columns)[place], KINDS[kind]


def rule_names(columns: Sequence[str], key: Sequence[str]) -> tuple[Column, Column]:
    """Return the column and the name of a row's rule."""
    kind = F.col(RULE) % len(KINDS)
    column = F.element_at(F.array(*map(F.lit, ("", *columns))), _place() + 1)
    name = F.element_at(F.array(*map(F.lit, KINDS)), kind + 1)
    return F.when(kind == DUPLICATE_KEY, F.lit(", ".join(key))).otherwise(column), name


def key_text(columns: Mapping[str, Rules], key: Sequence[str]) -> Column:
    """Return the text of a row's key, for a duplicate."""
    texts = [F.coalesce(present(F.col(f"cell_{name}"), columns[name].null_text), F.lit("null")) for name in key]
    return F.substring(F.concat_ws(", ", *texts), 1, _MAX_SHOWN)


def row_text(columns: Collection[str]) -> Column:
    """Return a row's cells as JSON, as quarantine keeps it."""
    return F.to_json(F.struct(*[F.col(f"cell_{name}").alias(name) for name in columns]), {"ignoreNullFields": "false"})


def _place() -> Column:
    """Return the number of the rule's column; 0: the whole row."""
    return F.floor(F.col(RULE) / len(KINDS)).cast("int")
