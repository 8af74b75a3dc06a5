"""Reads of later days: conditions on days after the last date that a query may see, which never have data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from perennial.sql.date_conditions import Condition
from perennial.sql.sees import Sees
from perennial.sql.tables import line_of

_UPPER = (exp.LT, exp.LTE)


def later_day_problems(conditions: Iterable[Condition], sees: Sees) -> Iterator[tuple[int, str]]:
    """Yield line and text of each condition that asks for days of a source after the last visible date."""
    late, bounded = [], set()
    for condition in conditions:
        # A strict comparison excludes the day itself.
        day = condition.days - (condition.kind is exp.LT) + (condition.kind is exp.GT)
        if day > sees.last:
            late.append(condition)
        elif condition.kind in _UPPER:
            bounded.add(condition.alias)
    for condition in late:
        if not (condition.kind in _UPPER and condition.alias in bounded):
            node = condition.node
            yield line_of(node), f"{node.sql(dialect='spark')}: it reads days that the query cannot see; {sees.says}"
