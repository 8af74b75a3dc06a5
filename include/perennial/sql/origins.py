"""The columns that a query passes on unchanged, with the table and the column from which each comes, where that is certain."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.scope import Scope, build_scope

from perennial.sql.columns import Views

Origin = tuple[str, str]
"""A view and one of its columns, in lower case."""


def find_origins(tree: exp.Expr, views: Views) -> dict[str, Origin]:
    """
    Return the origin of each column of the result that is null in the rows in which its origin is null.

    A column that the query compares with null is left out: the query seems to leave such rows out, or to treat them apart.
    """
    try:
        root = build_scope(tree.unnest() if isinstance(tree, exp.Subquery) else tree)
        if root is None or not isinstance(root.expression, exp.Select):
            return {}
        origins = {item.alias_or_name.lower(): _find_origin(root, item.unalias(), views) for item in root.expression.selects}
    except (OptimizeError, RecursionError):  # two tables with one alias show only when they are looked up
        return {}
    compared = {column.name.lower() for test in tree.find_all(exp.Is) for column in test.find_all(exp.Column)}
    return {name: origin for name, origin in origins.items() if origin is not None and origin[1] not in compared}


def _find_origin(scope: Scope, item: exp.Expr, views: Views) -> Origin | None:
    column = item.unnest()
    while isinstance(column, exp.Cast):
        column = column.this.unnest()
    if not isinstance(column, exp.Column) or isinstance(column.this, exp.Star):
        return None
    name, table = column.name.lower(), column.table.lower()
    found = [
        origin
        for alias, (_, source) in scope.selected_sources.items()
        if table in ("", alias.lower()) and (origin := _of_source(source, name, views))
    ]
    return found[0] if len(found) == 1 else None


def _of_source(source: exp.Expr | Scope, name: str, views: Views) -> Origin | None:
    if isinstance(source, exp.Table):
        view = source.name.lower()
        return (view, name) if name in (views.get(view) or ()) else None
    if not isinstance(source, Scope) or not isinstance(source.expression, exp.Select):
        return None
    selects = [item for item in source.expression.selects if item.alias_or_name.lower() == name]
    return _find_origin(source, selects[0].unalias(), views) if len(selects) == 1 else None
