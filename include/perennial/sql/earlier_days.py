"""Reads of earlier days: conditions on days before the first date that a query may see, and lookups without a first date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from perennial.sql.date_conditions import Condition
from perennial.sql.own_day import DAY, MIDNIGHT
from perennial.sql.sees import Sees
from perennial.sql.tables import line_of

_UPPER, _LOWER = (exp.LT, exp.LTE), (exp.GT, exp.GTE)
_SUMS = (exp.Count, exp.CountIf, exp.Sum, exp.Avg)
"""Aggregates that every further row changes."""

_BOUNDS = (
    *(exp.Window, exp.Limit, exp.Max, exp.Min, exp.ArgMax, exp.ArgMin, exp.First, exp.Last, exp.AnyValue, exp.Distinct),
    *(exp.Subquery, exp.SetOperation, exp.Exists, exp.In, exp.Having, exp.Qualify, exp.Pivot, exp.Lateral, exp.Anonymous),
)
"""Parts of a query that may bound its reads, or make its result independent of rows that lie further back."""


def earlier_day_problems(conditions: Iterable[Condition], sees: Sees) -> Iterator[tuple[int, str]]:
    """Yield line and text of each condition that asks for days of a source before the first visible date."""
    early, bounded = [], set()
    sees_nothing = sees.first > sees.last  # a lookup without a lookback: any upper bound is in vain
    for condition in conditions:
        if sees_nothing and condition.kind in _UPPER:
            continue
        # A strict comparison excludes the day itself.
        day = condition.days - (condition.kind is exp.LT) + (condition.kind is exp.GT)
        if day < sees.first:
            early.append((condition, sees.first - day))
        elif condition.kind in _LOWER:
            bounded.add(condition.alias)
    for condition, missing in early:
        if not (condition.kind in _LOWER and condition.alias in bounded):
            node, days = condition.node, sees.lookback_days
            yield (
                line_of(node),
                f"{node.sql(dialect='spark')}: it asks for days that training.lookback_days = {days} does not reach. "
                f"Raise it to {days + missing}, or read fewer days",
            )


def unbounded_problems(tree: exp.Expr, conditions: Iterable[Condition], sees: Sees) -> Iterator[tuple[int, str]]:
    """
    Yield line and text of each source that a lookup sums up without a lower bound of its dates.

    A run of one date sees training.lookback_days, a batch of dates sees more: the two results differ.
    Only simple queries are checked, whose only conditions on dates are upper bounds.
    """
    if not any(tree.find_all(*_SUMS)) or any(tree.find_all(*_BOUNDS)):
        return
    conditions = list(conditions)
    understood = {id(column) for condition in conditions for column in condition.node.find_all(exp.Column)}
    for column in tree.find_all(exp.Column):
        if column.name.lower() in (DAY, MIDNIGHT) and id(column) not in understood and not _is_selected(column):
            return
    for alias in dict.fromkeys(condition.alias for condition in conditions):
        on_it = [condition for condition in conditions if condition.alias == alias]
        if all(condition.kind in _UPPER and not isinstance(condition.node, exp.Between) for condition in on_it):
            node, days = on_it[0].node, sees.lookback_days
            yield (
                line_of(node),
                f"{node.sql(dialect='spark')}: the dates of {alias!r} have no lower bound. A lookup may read "
                f"training.lookback_days = {days} days: add {alias}.date >= DATE_SUB(as_of, {days}), or fewer days",
            )


def _is_selected(column: exp.Column) -> bool:
    """Return whether a column is only selected, grouped or ordered by, under its own name."""
    around = column.parent
    if isinstance(around, exp.Alias):
        return around.alias.lower() == column.name.lower() and isinstance(around.parent, exp.Select)
    return isinstance(around, exp.Select | exp.Group | exp.Ordered)
