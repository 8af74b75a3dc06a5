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
from perennial.sql.type_rules import FAMILIES, RULES, family

Types = Mapping[str, str]
"""The types of a table's columns, in Spark's words; columns whose type is not known are left out."""

CONTRACT_TYPES = {
    **{"string": "string", "integer": "bigint", "double": "double", "boolean": "boolean"},
    **{"date": "date", "time": "int", "timestamp": "timestamp"},
}
"""The type in SQL of a column of pipeline.yaml."""


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
        typed = annotate_types(qualified, schema=schema, expression_metadata=RULES, dialect="spark")
    except (SqlglotError, RecursionError):
        return {}
    if not isinstance(typed, exp.Select) or typed.find(exp.Pivot) or not _branches_agree(typed):
        return {}
    types: dict[str, str] = {}
    for item in typed.selects:
        kind = item.type
        if kind is not None and kind.this in FAMILIES:
            types[item.alias_or_name.lower()] = kind.sql(dialect="spark").lower()
    return types


def _branches_agree(tree: exp.Expr) -> bool:
    """Return whether the branches of every UNION have the same types: the common type of others is Spark's to choose."""
    for union in tree.find_all(exp.SetOperation):
        sides = [side.selects for side in (union.left, union.right) if isinstance(side, exp.Query)]
        for left, right in zip(*sides, strict=False):
            families = {family(left), family(right)}
            if len(families) > 1 or None in families:
                return False
    return True


def type_problems(tree: exp.Expr, types: Types, wanted: Mapping[str, Wanted]) -> Iterator[tuple[int, str]]:
    """Yield line and text of each column whose type is certain and is not the wanted one."""
    lines = {item.alias_or_name.lower(): line_of(item) for item in _items(tree)}
    for name, want in wanted.items():
        found = family_of(types.get(name))
        if found is not None and found not in want.families:
            remedy = want.remedies.get(found)
            yield (
                lines.get(name, 0),
                f"column {name!r} is of type {types[name]}, but {want.says}{f'. {remedy}' if remedy else ''}",
            )


def family_of(kind: str | None) -> str | None:
    """Return the family of a type in Spark's words, or None if the type is not known."""
    return None if kind is None else FAMILIES.get(exp.DataType.build(kind, dialect="spark").this)


def _items(tree: exp.Expr) -> list[exp.Expr]:
    query = tree.unnest() if isinstance(tree, exp.Subquery) else tree
    return list(query.selects) if isinstance(query, exp.Query) else []
