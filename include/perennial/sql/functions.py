"""The functions that a query calls: refuse those with results that vary between calls, and those that run code."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from perennial.sql.refused_functions import IDENTIFIER, REFUSED, SAMPLE, TRANSFORM, WITHOUT_PARENTHESES, plain, why_refused
from perennial.sql.tables import line_of


def function_problems(tree: exp.Expr) -> Iterator[tuple[int, str]]:
    """Yield line and text of each refused call."""
    for call in tree.find_all(exp.Func):
        names = [call.name] if isinstance(call, exp.Anonymous) else [name.lower() for name in call.sql_names()]
        given = len(call.expressions) + sum(isinstance(call.args.get(part), exp.Expr) for part in ("this", "expression"))
        arguments = given - (1 if isinstance(call, exp.Anonymous) else 0)
        name = next((name for name in names if why_refused(name, max(arguments, 0))), None)
        if name is not None:
            yield line_of(call), f"the function {name.lower()}: {why_refused(name, max(arguments, 0))}"
        elif plain(names[0]) == "identifier" and not isinstance(call.parent, exp.Table):
            yield line_of(call), IDENTIFIER
    for column in tree.find_all(exp.Column):
        if not column.table and plain(column.name) in WITHOUT_PARENTHESES:
            yield line_of(column), f"the function {column.name.lower()}: {REFUSED[plain(column.name)]}"
    for _ in tree.find_all(exp.QueryTransform):
        yield 0, TRANSFORM
    for sample in tree.find_all(exp.TableSample):
        yield line_of(sample), SAMPLE
