"""The types of the columns that a query yields, where they are certain, and the types that pipeline.yaml wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from perennial.sql.tables import line_of

Types = Mapping[str, str]
"""The types of a table's columns, in Spark's words; columns whose type is not known are left out."""

CONTRACT_TYPES = {
    **{"string": "string", "integer": "bigint", "double": "double", "boolean": "boolean"},
    **{"date": "date", "time": "int", "timestamp": "timestamp"},
}
"""The type in SQL of a column of pipeline.yaml."""

_TYPE = exp.DataType.Type
_FAMILIES = {
    **dict.fromkeys((_TYPE.VARCHAR, _TYPE.TEXT, _TYPE.CHAR), "text"),
    **dict.fromkeys((_TYPE.TINYINT, _TYPE.SMALLINT, _TYPE.INT, _TYPE.BIGINT), "whole number"),
    **dict.fromkeys((_TYPE.FLOAT, _TYPE.DOUBLE, _TYPE.DECIMAL), "fraction"),
    _TYPE.BOOLEAN: "boolean",
    **dict.fromkeys((_TYPE.DATE,), "date"),
    **dict.fromkeys((_TYPE.TIMESTAMP, _TYPE.TIMESTAMPLTZ, _TYPE.TIMESTAMPTZ), "timestamp"),
}
"""Types by what a column of pipeline.yaml may hold; within a family the job casts without loss, or accepts any type."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    The type that a column must have.

    :param families: the families that the job accepts
    :param says: who wants it and which type, such as "request field 'hour' is a time: whole minutes since midnight"
    :param remedies: by family found, how to convert it
    """

    families: frozenset[str]
    says: str
    remedies: Mapping[str, str]


def infer_types(tree: exp.Expr, views: Mapping[str, Types]) -> dict[str, str]:
    """Return the types of the columns that a query yields, in lower case. Columns that are not certain are left out."""
    query = (tree.unnest() if isinstance(tree, exp.Subquery) else tree).copy()
    schema = MappingSchema({name: dict(types) for name, types in views.items() if types}, dialect="spark")
    try:
        qualified = qualify(
            query, schema=schema, dialect="spark", validate_qualify_columns=False, quote_identifiers=False, identify=False
        )
        typed = annotate_types(qualified, schema=schema, dialect="spark")
    except (SqlglotError, RecursionError):
        return {}
    if not isinstance(typed, exp.Select):
        return {}  # the branches of a UNION may have different types
    types: dict[str, str] = {}
    for item in typed.selects:
        kind = item.type
        if kind is not None and kind.this in _FAMILIES:
            types[item.alias_or_name.lower()] = kind.sql(dialect="spark").lower()
    return types


def type_problems(tree: exp.Expr, types: Types, wanted: Mapping[str, Wanted]) -> Iterator[tuple[int, str]]:
    """Yield line and text of each column whose type is certain and is not the wanted one."""
    lines = {item.alias_or_name.lower(): line_of(item) for item in _items(tree)}
    for name, want in wanted.items():
        family = family_of(types.get(name))
        if family is not None and family not in want.families:
            remedy = want.remedies.get(family)
            yield (
                lines.get(name, 0),
                f"column {name!r} is of type {types[name]}, but {want.says}{f'. {remedy}' if remedy else ''}",
            )


def family_of(kind: str | None) -> str | None:
    """Return the family of a type in Spark's words, or None if the type is not known."""
    return None if kind is None else _FAMILIES.get(exp.DataType.build(kind, dialect="spark").this)


def _items(tree: exp.Expr) -> list[exp.Expr]:
    query = tree.unnest() if isinstance(tree, exp.Subquery) else tree
    return list(query.selects) if isinstance(query, exp.Query) else []
