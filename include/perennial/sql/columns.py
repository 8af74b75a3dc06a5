"""The columns of a query, where they are certain: those that it yields, and those that it uses but that do not exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.scope import Scope, ScopeType, build_scope

from perennial.errors import did_you_mean
from perennial.sql.refused_functions import untyped_null
from perennial.sql.tables import line_of

Views = Mapping[str, list[str] | None]
"""The columns of each view, in lower case; None if they are not known."""

_WORDS = {
    *("all", "user", "session_user", "current_user", "current_date", "current_time", "current_timestamp", "localtimestamp"),
    *("current_catalog", "current_database", "current_schema", "current_timezone"),
    *(
        f"{unit}{plural}"
        for unit in ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
        for plural in ("", "s")
    ),
    *("dayofyear", "dayofweek", "millisecond", "microsecond", "nanosecond", "grouping__id", "_metadata"),
}
"""Words that can be used like a column without being one."""


def look_at_columns(tree: exp.Expr, views: Views) -> tuple[list[tuple[int, str]], list[str] | None]:
    """Return line and text of each unknown column, and the columns that the query yields (None: not known)."""
    try:
        root = build_scope(tree.unnest() if isinstance(tree, exp.Subquery) else tree)
        columns = None if root is None else _Columns(root, views)
        return ([], None) if columns is None else (list(columns.problems()), columns.yielded())
    except (OptimizeError, RecursionError):  # two tables with one alias, a doubt of its own
        return [], None


def untyped_nulls(tree: exp.Expr) -> Iterator[tuple[int, str]]:
    """Yield line and text of each untyped NULL column of a query. UNIONs are skipped: a branch takes the type of the others."""
    query = tree.unnest() if isinstance(tree, exp.Subquery) else tree
    for item in query.expressions if isinstance(query, exp.Select) else ():
        if isinstance(item, exp.Alias) and isinstance(item.this.unnest(), exp.Null):
            yield line_of(item), untyped_null(item.alias)


class _Columns:
    """The known columns of a query and its subqueries. Columns that are not certain are None, and no finding."""

    def __init__(self, root: Scope, views: Views) -> None:
        self._root = root
        self._views = views

    def yielded(self) -> list[str] | None:
        """Return the names of the columns that the query yields, in order."""
        return self._of_scope(self._root)

    def problems(self) -> Iterator[tuple[int, str]]:
        """Yield line and text of each column that no visible table has."""
        hinted = {id(column) for hint in self._root.expression.find_all(exp.Hint) for column in hint.find_all(exp.Column)}
        for scope in self._root.traverse():
            if not isinstance(scope.expression, exp.Select):
                continue
            visible = self._visible(scope)
            if visible is None:
                continue
            names = {name for columns in visible.values() for name in columns}
            named_here = _aliases(scope)
            for column in scope.find_all(exp.Column):
                if id(column) not in hinted and (text := _unknown(column, visible, names, named_here)):
                    yield line_of(column), text

    def _visible(self, scope: Scope) -> dict[str, list[str]] | None:
        """Return the visible columns by table alias, with those of the enclosing queries; None if any are not known."""
        columns_by_alias: dict[str, list[str] | None] = {}
        at: Scope | None = scope
        while at is not None:
            for alias, (node, source) in _sources(at).items():
                columns_by_alias.setdefault(alias.lower(), self._of_source(node, source))
            sees_around = at.scope_type in (ScopeType.SUBQUERY, ScopeType.UDTF, ScopeType.SET_OPERATION)
            at = at.parent if sees_around or at.expression.find_ancestor(exp.Lateral) else None
        known = {alias: columns for alias, columns in columns_by_alias.items() if columns is not None}
        return known if len(known) == len(columns_by_alias) else None

    def _of_source(self, node: exp.Expr, source: exp.Expr | Scope) -> list[str] | None:
        if node.args.get("pivots"):
            return None
        if named := _alias_columns(node):
            return named
        if isinstance(source, Scope):
            return self._of_scope(source)
        if isinstance(source, exp.Table) and not source.args.get("db") and isinstance(source.this, exp.Identifier):
            return self._views.get(source.name.lower())
        return None

    def _of_scope(self, scope: Scope) -> list[str] | None:
        expression = scope.expression
        if named := _alias_columns(expression) or _alias_columns(expression.parent):
            return named
        if isinstance(expression, exp.SetOperation):
            return self._of_scope(scope.set_operation_scopes[0]) if scope.set_operation_scopes else None
        if not isinstance(expression, exp.Select) or expression.args.get("kind"):
            return None
        names: list[str] = []
        for item in expression.expressions:
            columns = self._of_item(item, scope)
            if columns is None:
                return None
            names.extend(columns)
        return names or None

    def _of_item(self, item: exp.Expr, scope: Scope) -> list[str] | None:
        """Return the column names of one SELECT entry, or None if not known: Spark chooses the name of an unnamed expression."""
        if isinstance(item, exp.Alias):
            return [item.alias.lower()]
        if isinstance(item, exp.Column) and not isinstance(item.this, exp.Star):
            return [item.name.lower()]
        star = item.this if isinstance(item, exp.Column) else item
        joins = scope.expression.args.get("joins") or []
        if not isinstance(star, exp.Star) or any(star.args.values()):
            return None
        if any(join.args.get("using") or join.method or join.kind in ("SEMI", "ANTI") for join in joins):
            return None
        wanted = item.table.lower() if isinstance(item, exp.Column) else None
        names: list[str] = []
        for alias, (node, source) in _sources(scope).items():
            if wanted in (None, alias.lower()):
                columns = self._of_source(node, source)
                if columns is None:
                    return None
                names.extend(columns)
        return names or None


def _sources(scope: Scope) -> dict[str, tuple[exp.Expr, exp.Expr | Scope]]:
    """Return what FROM and JOIN read, by alias. The right side of a semi join counts, as its condition may use it."""
    if not isinstance(scope.expression, exp.Select):
        return {name: (_node(source), source) for name, source in scope.sources.items()}
    sources: dict[str, tuple[exp.Expr, exp.Expr | Scope]] = dict(scope.selected_sources)
    for join in scope.expression.args.get("joins") or ():
        alias = join.alias_or_name
        if alias and alias not in sources and alias in scope.sources:
            sources[alias] = (join.this, scope.sources[alias])
    return sources


def _node(source: exp.Expr | Scope) -> exp.Expr:
    return source.expression if isinstance(source, Scope) else source


def _alias_columns(node: exp.Expr | None) -> list[str]:
    alias = (
        node.args.get("alias") if node is not None and isinstance(node, exp.Table | exp.UDTF | exp.CTE | exp.Subquery) else None
    )
    return [column.name.lower() for column in alias.columns] if isinstance(alias, exp.TableAlias) else []


def _aliases(scope: Scope) -> set[str]:
    """Return the aliases of this SELECT and the enclosing ones: later entries, GROUP BY, HAVING and ORDER BY may use them."""
    names: set[str] = set()
    at: Scope | None = scope
    while at is not None:
        if isinstance(at.expression, exp.Query):
            names |= {alias.lower() for item in at.expression.selects for alias in _aliases_of(item)}
        at = at.parent
    return names


def _aliases_of(item: exp.Expr) -> list[str]:
    if isinstance(item, exp.Aliases):
        return [name.name for name in item.aliases]
    # t.a is named a. An entry without alias and table adds no name.
    return [item.alias_or_name] if isinstance(item, exp.Alias) or (isinstance(item, exp.Column) and item.table) else []


def _unknown(column: exp.Column, visible: Mapping[str, list[str]], names: set[str], named_here: set[str]) -> str | None:
    parts = [part.name.lower() for part in column.parts]
    if len(parts) == 1:
        name = parts[0]
        if isinstance(column.this, exp.Star) or name in names | named_here | _WORDS:
            return None
        return f"unknown column {name!r}.{did_you_mean(name, names)}"
    table, name = parts[0], parts[1]
    if table in names | named_here:
        return None  # a field of a struct, whose fields are not known
    if table not in visible:
        return f"unknown table or alias {table!r} in {column.sql(dialect='spark')}.{did_you_mean(table, visible)}"
    if isinstance(column.this, exp.Star) or name in visible[table]:
        return None
    return f"unknown column {name!r} of {table!r}.{did_you_mean(name, visible[table])}"
