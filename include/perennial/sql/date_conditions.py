"""The conditions of a query on the dates of its sources, as days after `date` of the view `dates`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from perennial.sql.own_day import DATES, DAY, MIDNIGHT

_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT, exp.GTE: exp.LTE}
_EQUAL = (exp.EQ, exp.NullSafeEQ)


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison that a row of a source (by alias) must satisfy: its date `kind` the date of `dates` plus a number of days."""

    alias: str
    kind: type[exp.Expr]
    days: int
    node: exp.Expr


@dataclass(frozen=True, slots=True)
class _Place:
    """A date as the date of a row of a table (by alias), plus a number of days."""

    alias: str
    days: int


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A comparison of the dates `left` and `right`; `node` is the expression in the query."""

    node: exp.Expr
    kind: type[exp.Expr]
    left: _Place
    right: _Place


def find_conditions(tree: exp.Expr, sources: Collection[str], midnight: int) -> list[Condition]:
    """
    Return the conditions that a join or WHERE requires, as far as they certainly depend on the view `dates`.

    :param midnight: days from `date` to `as_of` of that view
    """
    tables = find_tables(tree, sources)
    comparisons = list(_comparisons(tree, tables, midnight))
    known = _days_after(comparisons, tables)
    return [
        Condition(left.alias, kind, known[right.alias] + right.days - left.days, comparison.node)
        for comparison in comparisons
        for left, right, kind in (
            (comparison.left, comparison.right, comparison.kind),
            (comparison.right, comparison.left, _MIRRORED.get(comparison.kind, comparison.kind)),
        )
        if tables[left.alias] != DATES and right.alias in known
    ]


def find_tables(tree: exp.Expr, sources: Collection[str]) -> dict[str, str]:
    """Return {alias: table} of the sources and the view `dates`, without aliases that are used more than once."""
    parts = {part.alias.lower() for part in tree.find_all(exp.CTE)}
    named = [(table.alias_or_name.lower(), table.name.lower()) for table in tree.find_all(exp.Table)]
    times = Counter(alias for alias, _ in named)
    times.update(query.alias.lower() for query in tree.find_all(exp.Subquery) if query.alias)
    return {
        alias: name for alias, name in named if times[alias] == 1 and (name in sources or name == DATES) and name not in parts
    }


def _comparisons(tree: exp.Expr, tables: Mapping[str, str], midnight: int) -> Iterator[_Comparison]:
    for node in tree.find_all(exp.LT, exp.LTE, exp.GT, exp.GTE, *_EQUAL, exp.Between):
        if not _is_demanded(node):
            continue
        pairs: list[tuple[type[exp.Expr], exp.Expr, exp.Expr]] = [(type(node), node.this, node.args.get("expression", node.this))]
        if isinstance(node, exp.Between):
            pairs = [(exp.GTE, node.this, node.args["low"]), (exp.LTE, node.this, node.args["high"])]
        for kind, *sides in pairs:
            left, right = (_place(side, tables, midnight) for side in sides)
            if left is not None and right is not None and left.alias != right.alias:
                yield _Comparison(node, kind, left, right)


def _is_demanded(node: exp.Expr) -> bool:
    """Return whether a row must satisfy a condition: it is part of the AND of a join or WHERE."""
    around = node.parent
    while isinstance(around, exp.And | exp.Paren):
        around = around.parent
    return isinstance(around, exp.Join | exp.Where)


def _place(node: exp.Expr, tables: Mapping[str, str], midnight: int) -> _Place | None:
    """Return the date that an expression certainly has, or None."""
    if isinstance(node, exp.Paren | exp.Cast | exp.TryCast | exp.TsOrDsToDate):
        return _place(node.this, tables, midnight)
    if isinstance(node, exp.Column):
        table, name = node.table.lower(), node.name.lower()
        if table in tables and (name == DAY or (name == MIDNIGHT and tables[table] == DATES)):
            return _Place(table, midnight if name == MIDNIGHT else 0)
        return None
    if isinstance(node, exp.Add | exp.Sub | exp.TsOrDsAdd | exp.TimestampAdd):
        begin, days = _place(node.this, tables, midnight), _days(node.expression, node.args.get("unit"))
        if begin is None or days is None:
            return None
        return _Place(begin.alias, begin.days + (-days if isinstance(node, exp.Sub) else days))
    return None


def _days(node: exp.Expr | None, unit: exp.Expr | None) -> int | None:
    """Return a constant number of days, or None if the expression is not constant."""
    if unit is not None and unit.name.upper() not in ("DAY", "DAYS"):
        return None
    if isinstance(node, exp.Interval):
        return _days(node.this, node.args.get("unit"))
    if isinstance(node, exp.Neg):
        days = _days(node.this, None)
        return None if days is None else -days
    if isinstance(node, exp.Mul):  # the parser's form of DATE_SUB
        factors = _days(node.this, None), _days(node.expression, None)
        return None if factors[0] is None or factors[1] is None else factors[0] * factors[1]
    return int(node.name) if isinstance(node, exp.Literal) and node.name.isdigit() else None


def _days_after(comparisons: list[_Comparison], tables: Mapping[str, str]) -> dict[str, int]:
    """Return {alias: days after `date` of the view `dates`} for tables whose rows are tied to exactly one date."""
    known = {alias: 0 for alias, table in tables.items() if table == DATES}
    ties = [comparison for comparison in comparisons if comparison.kind in _EQUAL]
    for _ in ties:
        for tie in ties:
            for left, right in ((tie.left, tie.right), (tie.right, tie.left)):
                if right.alias in known:
                    known.setdefault(left.alias, known[right.alias] + right.days - left.days)
    return known
