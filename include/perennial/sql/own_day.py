"""The days that a lookup may read: those before a midnight, without the day that begins then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from sqlglot import exp

from perennial.sql.tables import line_of

DATES, DAY, MIDNIGHT = "dates", "date", "as_of"
_UP_TO = (exp.LTE, exp.EQ, exp.NullSafeEQ)
"""With `date` on the left and `as_of` on the right, these operators include the day itself."""


def own_day_problems(tree: exp.Expr) -> Iterator[tuple[int, str]]:
    """
    Yield line and text of each comparison of a source's date with `as_of` that includes rows of that day.

    A run of a single date does not reveal the mistake, because the day has no data yet. In a batch of dates it has, and the
    models would know the future. A source whose date is also compared strictly passes.
    """
    views = {table.alias_or_name.lower() for table in tree.find_all(exp.Table) if table.name.lower() == DATES}
    problems: list[tuple[str, int, str]] = []
    strict: set[str] = set()
    kind: type[exp.Expr]
    for node in tree.find_all(exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.NullSafeEQ, exp.Between):
        if isinstance(node, exp.Between):
            left, right, kind = node.this, node.args["high"], exp.LTE
        elif isinstance(node, exp.GT | exp.GTE):
            left, right, kind = node.expression, node.this, exp.LT if isinstance(node, exp.GT) else exp.LTE
        else:
            left, right, kind = node.this, node.expression, type(node)
            if kind in (exp.EQ, exp.NullSafeEQ) and _is_midnight(left, views):
                left, right = right, left
        if not (_is_day(left, views) and _is_midnight(right, views)):
            continue
        source = left.table.lower()
        if kind is exp.LT:
            strict.add(source)
        if kind in _UP_TO:
            text = f"{node.sql()}: it includes rows of the day that begins at {MIDNIGHT}. Compare with <"
            problems.append((source, line_of(node), text))
    yield from ((line, text) for source, line, text in problems if source not in strict)


def _is_day(node: exp.Expr | None, views: set[str]) -> TypeGuard[exp.Column]:
    return isinstance(node, exp.Column) and node.name.lower() == DAY and bool(node.table) and node.table.lower() not in views


def _is_midnight(node: exp.Expr | None, views: set[str]) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() == MIDNIGHT and (not node.table or node.table.lower() in views)
