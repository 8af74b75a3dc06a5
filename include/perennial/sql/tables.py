"""The tables that a query may read: only the views of its stage, by their plain names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from sqlglot import exp

from perennial.errors import did_you_mean


def table_problems(tree: exp.Expr, views: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield line and text of each table that is neither one of `views` nor defined by an enclosing WITH."""
    for table in tree.find_all(exp.Table):
        if table.find_ancestor(exp.Hint):
            continue
        line = line_of(table)
        named = table.this
        if table.args.get("db"):
            name = ".".join(part.name for part in table.parts)
            yield line, f"{name!r} is a full name or a path; a query may read only {_list(views)}, by these names"
        elif isinstance(named, exp.Anonymous) and named.name.upper() == "IDENTIFIER":
            yield line, f"IDENTIFIER(…) as a table; write one of {_list(views)}"
        elif isinstance(named, exp.Identifier) and named.name.lower() not in {*views, *_named_around(table)}:
            hint = did_you_mean(named.name.lower(), views)
            yield line, f"unknown table or view {named.name!r}.{hint} Available: {_list(views)}"
        elif table.args.get("version"):
            yield line, f"{named.name!r} is a view and has no versions; select dates with a condition"


def doubled_names(tree: exp.Expr) -> list[str]:
    """Return the names and aliases, in lower case, that two tables of one FROM have."""
    doubled = set()
    for query in tree.find_all(exp.Select):
        clause = query.args.get("from_")
        tables = [*([clause.this] if clause else []), *(join.this for join in query.args.get("joins") or ())]
        names = Counter(table.alias_or_name.lower() for table in (*tables, *(query.args.get("laterals") or ())))
        doubled |= {name for name, times in names.items() if name and times > 1}
    return sorted(doubled)


def line_of(node: exp.Expr) -> int:
    """Return the line on which a part of a query begins, or 0 if it is not known."""
    return min((part.meta["line"] for part in node.find_all(exp.Identifier, exp.Anonymous) if "line" in part.meta), default=0)


def _named_around(table: exp.Table) -> set[str]:
    """Return the WITH names visible to a table. A WITH part sees the parts before it, and itself only if it is RECURSIVE."""
    names: set[str] = set()
    below: exp.Expr = table
    around = table.parent
    while around is not None:
        with_clause = around.args.get("with_") or around.args.get("with")
        if isinstance(around, exp.With):
            place = next(index for index, part in enumerate(around.expressions) if part is below)
            visible = around.expressions[: place + 1 if around.args.get("recursive") else place]
            names |= {part.alias.lower() for part in visible}
        elif isinstance(with_clause, exp.With) and with_clause is not below:
            names |= {part.alias.lower() for part in with_clause.expressions}
        below, around = around, around.parent
    return names


def _list(views: Collection[str]) -> str:
    return ", ".join(sorted(views))
