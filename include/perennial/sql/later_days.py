"""Reads of later days: conditions on days after the last date that a query may see, which never have data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlglot import exp

from perennial.sql.own_day import DATES, DAY, MIDNIGHT
from perennial.sql.tables import line_of

_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT, exp.GTE: exp.LTE}
_EQUAL = (exp.EQ, exp.NullSafeEQ)


@dataclass(frozen=True, slots=True)
class Sees:
    """
    The last date of the sources that a file sees, as days after `date` of the view `dates`.

    :param midnight: days from `date` to `as_of` of that view
    :param says: text of the problem for a query that asks for more
    """

    sources: tuple[str, ...]
    last: int
    midnight: int
    says: str


def features_see(sources: tuple[str, ...], known_after_days: int) -> Sees:
    """Return the limit of features.sql. If it selects the label, the text says how to read later days."""
    later = ". For a label that depends on later days, set label.known_after_days and select it in labels.sql"
    return Sees(sources, 0, 0, f"features.sql sees nothing after the date of a row{'' if known_after_days else later}")


def labels_see(sources: tuple[str, ...], known_after_days: int) -> Sees:
    """Return the limit of labels.sql."""
    days = "1 day" if known_after_days == 1 else f"{known_after_days} days"
    says = (
        f"labels.sql sees {days} after a date (label.known_after_days). Raise that value, or limit the reads "
        "with `date < as_of` of the view dates"
    )
    return Sees(sources, known_after_days, known_after_days + 1, says)


def lookups_see(sources: tuple[str, ...]) -> Sees:
    """Return the limit of a lookup."""
    return Sees(sources, 0, 1, "a lookup sees no data of as_of or later")


def analyses_see(sources: tuple[str, ...]) -> Sees:
    """Return the limit of an analysis."""
    return Sees(sources, 0, 1, "an analysis sees nothing after its date")


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


def later_day_problems(tree: exp.Expr, sees: Sees) -> Iterator[tuple[int, str]]:
    """
    Yield line and text of each condition that asks for days of a source after the last visible date.

    Only conditions that a join or WHERE requires are checked, and only dates that certainly depend on the view `dates`.
    """
    tables = _tables(tree, sees.sources)
    comparisons = list(_comparisons(tree, tables, sees.midnight))
    known = _days_after(comparisons, tables)
    bounded = set()
    late = []
    for comparison in comparisons:
        mirrored = _MIRRORED.get(comparison.kind, comparison.kind)
        for left, right, kind in (
            (comparison.left, comparison.right, comparison.kind),
            (comparison.right, comparison.left, mirrored),
        ):
            if tables[left.alias] == DATES or right.alias not in known:
                continue
            days = known[right.alias] + right.days - left.days
            if kind is exp.LT or kind is exp.LTE:
                is_later = days - (kind is exp.LT) > sees.last
                if not is_later:
                    bounded.add(left.alias)
            elif kind is exp.GT or kind is exp.GTE:
                is_later = days + (kind is exp.GT) > sees.last
            else:
                is_later = days > sees.last
            if is_later:
                late.append((left.alias, kind, comparison.node))
    for alias, kind, node in late:
        if not (kind in (exp.LT, exp.LTE) and alias in bounded):
            yield line_of(node), f"{node.sql(dialect='spark')}: it reads days that the query cannot see; {sees.says}"


def _tables(tree: exp.Expr, sources: Collection[str]) -> dict[str, str]:
    """Return {alias: table} of the sources and the view `dates`, without aliases that are used more than once."""
    parts = {part.alias.lower() for part in tree.find_all(exp.CTE)}
    named = [(table.alias_or_name.lower(), table.name.lower()) for table in tree.find_all(exp.Table)]
    times = Counter(alias for alias, _ in named)
    times.update(query.alias.lower() for query in tree.find_all(exp.Subquery) if query.alias)
    return {
        alias: name for alias, name in named if times[alias] == 1 and (name in sources or name == DATES) and name not in parts
    }


def _comparisons(tree: exp.Expr, tables: dict[str, str], midnight: int) -> Iterator[_Comparison]:
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


def _place(node: exp.Expr, tables: dict[str, str], midnight: int) -> _Place | None:
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


def _days_after(comparisons: list[_Comparison], tables: dict[str, str]) -> dict[str, int]:
    """Return {alias: days after `date` of the view `dates`} for tables whose rows are tied to exactly one date."""
    known = {alias: 0 for alias, table in tables.items() if table == DATES}
    ties = [comparison for comparison in comparisons if comparison.kind in _EQUAL]
    for _ in ties:
        for tie in ties:
            for left, right in ((tie.left, tie.right), (tie.right, tie.left)):
                if right.alias in known:
                    known.setdefault(left.alias, known[right.alias] + right.days - left.days)
    return known
