"""What a lookup may read: the days before a midnight, and nothing of the day that begins."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from perennial.sql.tables import line_of

DATES, DAY, MIDNIGHT = "dates", "date", "as_of"
_UP_TO = (exp.LTE, exp.EQ, exp.NullSafeEQ)
"""`date` on the left and `as_of` on the right, these let the day itself in."""


def own_day_problems(tree: exp.Expr) -> Iterator[tuple[int, str]]:
    """
    Yield line and text of every comparison of a source's date with `as_of` that lets rows of that very day in.

    A run of one date does not show it, since there is nothing yet of the day; a chunk of many would, and its models would know the
    future. A query that compares strictly as well is let pass.
    """
    views = {table.alias_or_name.lower() for table in tree.find_all(exp.Table) if table.name.lower() == DATES}
    found = []
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
        if kind is exp.LT:
            return
        if kind in _UP_TO:
            found.append((line_of(node), f"{node.sql()}: rows of the day that begins at {MIDNIGHT} get in. Compare with <"))
    yield from found


def _is_day(node: exp.Expr | None, views: set[str]) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() == DAY and bool(node.table) and node.table.lower() not in views


def _is_midnight(node: exp.Expr | None, views: set[str]) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() == MIDNIGHT and (not node.table or node.table.lower() in views)
