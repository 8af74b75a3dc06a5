"""The functions that a query calls: only those of Spark whose result depends on the rows alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from perennial.sql.refused_functions import (
    IDENTIFIER,
    REFUSED,
    SAMPLE,
    TRANSFORM,
    WITHOUT_PARENTHESES,
    plain,
    why_refused,
    why_refused_on_purpose,
)
from perennial.sql.tables import line_of


def function_problems(tree: exp.Expr, views: Mapping[str, list[str] | None]) -> Iterator[tuple[int, str]]:
    """
    Yield line and text of each refused call.

    :param views: the columns of each view; None if they are not known
    """
    for call in tree.find_all(exp.Func):
        name, why = _judge_unknown(call) if isinstance(call, exp.Anonymous) else _judge_known(call)
        if why is not None:
            yield line_of(call), f"the function {name}: {why}"
    names = _names_of_columns(tree, views)
    for column in tree.find_all(exp.Column):
        name = plain(column.name)
        if names is not None and not column.table and name in WITHOUT_PARENTHESES and name not in names:
            yield line_of(column), f"the function {column.name.lower()}: {REFUSED[name]}"
    for _ in tree.find_all(exp.QueryTransform):
        yield 0, TRANSFORM
    for sample in tree.find_all(exp.TableSample):
        yield line_of(sample), SAMPLE
    for call in tree.find_all(exp.Anonymous):
        if plain(call.name) == "identifier" and not isinstance(call.parent, exp.Table):
            yield line_of(call), IDENTIFIER


_ALSO: dict[type[exp.Func], tuple[str, ...]] = {exp.ApproxQuantile: ("percentile_approx",)}
"""Names in Spark of calls that sqlglot knows by another name only."""


def _judge_known(call: exp.Func) -> tuple[str, str | None]:
    """Return name and refusal of a call that sqlglot knows, perhaps by another name than Spark."""
    names = [*_ALSO.get(type(call), ()), *(name.lower() for name in call.sql_names())]
    has_arguments = bool(call.expressions) or any(isinstance(call.args.get(part), exp.Expr) for part in ("this", "expression"))
    refusals = ((name, why_refused_on_purpose(name, has_arguments=has_arguments)) for name in names)
    return next((refusal for refusal in refusals if refusal[1]), (names[0], None))


def _judge_unknown(call: exp.Anonymous) -> tuple[str, str | None]:
    """Return name and refusal of a call that sqlglot does not know: its name is as written."""
    name = call.name
    node: exp.Expr = call
    while isinstance(node.parent, exp.Dot) and node.parent.expression is node:
        node = node.parent
        name = f"{node.this.sql()}.{call.name}"
    if plain(name) == "identifier" or isinstance(node.parent, exp.Hint):
        return name, None
    return name.lower(), why_refused(name, has_arguments=bool(call.expressions))


def _names_of_columns(tree: exp.Expr, views: Mapping[str, list[str] | None]) -> set[str] | None:
    """Return all names of columns that the query may mean, or None if they are not known."""
    if any(columns is None for columns in views.values()):
        return None
    aliases = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    aliases |= {column.name.lower() for alias in tree.find_all(exp.TableAlias) for column in alias.columns}
    return aliases.union(*(columns or [] for columns in views.values()))
