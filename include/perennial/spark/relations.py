"""
The relations that a query reads and the functions that it calls, taken from Spark's own parse tree.

A full table name or a path could read beyond the requested dates.
Some functions would give another result each time, or run code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from perennial.spark.java import JavaObject
from perennial.sql.refused_functions import IDENTIFIER, SAMPLE, TRANSFORM, WITHOUT_PARENTHESES, plain, why_refused

MOMENT_RULES = ("SpecialDatetimeValues", "ComputeCurrentTime")
SUBQUERIES = {"ScalarSubquery", "ListQuery", "Exists", "LateralSubquery", "FunctionTableSubqueryArgumentExpression"}
"""Spark's expressions that hold a plan."""


def foreign_relations(plan: JavaObject, views: Collection[str]) -> list[str]:
    """
    Return every relation of a parsed plan that is neither one of `views` nor defined by an enclosing WITH.

    :param plan: Spark's logical plan before analysis, in the JVM: nothing is resolved yet, so names are as written
    """
    return list(dict.fromkeys(_foreign(plan, frozenset(name.lower() for name in views))))


def refused_calls(plan: JavaObject) -> list[str]:
    """Return every function in a parsed plan that no query may call, with the reason."""
    return list(dict.fromkeys(_calls_of(plan)))


def moments(plan: JavaObject, optimizer: JavaObject) -> bool:
    """
    Return whether the result of a plan depends on the time at which it runs, in any spelling of the query.

    It does if the rules by which Spark inserts the current time change the plan.

    :param plan: Spark's logical plan after analysis, in the JVM
    :param optimizer: the JVM's package org.apache.spark.sql.catalyst.optimizer
    """
    replace, *rules = (getattr(getattr(optimizer, f"{name}$"), "MODULE$") for name in ("ReplaceExpressions", *MOMENT_RULES))
    # Like Spark, first replace functions that are aliases of other expressions.
    plans = [replace.apply(part) for part in (plan, *_nodes(plan.subqueriesAll()))]
    return any(not rule.apply(part).fastEquals(part) for part in plans for rule in rules)


def _calls_of(node: JavaObject) -> Iterator[str]:
    if node.nodeName() == "ScriptTransformation":
        yield TRANSFORM
    if node.nodeName() == "Sample":
        yield SAMPLE
    for expression in (*_nodes(node.expressions()), *_window_definitions(node)):
        yield from _refused_calls(expression)
    for below in (*_nodes(node.children()), *_inner(node)):
        yield from _calls_of(below)


def _foreign(node: JavaObject, known: frozenset[str]) -> Iterator[str]:
    kind = node.nodeName()
    parts = _strings(node.multipartIdentifier()) if kind == "UnresolvedRelation" else []
    if kind == "UnresolvedTableValuedFunction" and len(name := _strings(node.name())) > 1:
        yield f"the function {'.'.join(name)}"
    if parts and (len(parts) > 1 or parts[0].lower() not in known):
        yield ".".join(parts)
    if kind == "PlanWithUnresolvedIdentifier":
        yield "IDENTIFIER(…) as a table"
    if kind == "RelationTimeTravel":
        yield "another version of a table (AS OF)"
    inner = list(_inner(node))
    if kind == "UnresolvedWith":
        # A part sees the parts before it. It sees itself only with RECURSIVE; otherwise its own name means a table.
        for part in inner:
            name = part.alias().lower()
            yield from _foreign(part, known | {name} if node.allowRecursion() else known)
            known |= {name}
        inner = []
    for below in (*_nodes(node.children()), *inner):
        yield from _foreign(below, known)


def _refused_calls(expression: JavaObject) -> Iterator[str]:
    kind = expression.nodeName()
    if kind == "UnresolvedFunction":
        name = _strings(expression.nameParts())[-1]
        if why := why_refused(name, expression.children().size()):
            yield f"the function {name}: {why}"
    elif kind == "ExpressionWithUnresolvedIdentifier":
        yield IDENTIFIER
    elif kind == "UnresolvedAttribute" and len(parts := _strings(expression.nameParts())) == 1:
        if plain(parts[0]) in WITHOUT_PARENTHESES:
            yield f"the function {parts[0]}: {why_refused(parts[0], 0)}"
    for below in _nodes(expression.children()):
        yield from _refused_calls(below)


def _inner(node: JavaObject) -> Iterator[JavaObject]:
    """Yield the plans within a plan that are not its children: parts of a WITH, subqueries in expressions."""
    yield from _nodes(node.innerChildren())
    for definition in _window_definitions(node):
        yield from _subqueries(definition)


def _window_definitions(node: JavaObject) -> Iterator[JavaObject]:
    """Yield the parts of a WINDOW clause. Spark keeps them in a map: they and their contents are not among its expressions."""
    if node.nodeName() == "WithWindowDefinition":
        yield from _nodes(node.windowDefinitions().values().toSeq())


def _subqueries(expression: JavaObject) -> Iterator[JavaObject]:
    if expression.nodeName() in SUBQUERIES:
        yield expression.plan()
    for below in _nodes(expression.children()):
        yield from _subqueries(below)


def _nodes(sequence: JavaObject) -> Iterator[JavaObject]:
    for index in range(sequence.size()):
        yield sequence.apply(index)


def _strings(sequence: JavaObject) -> list[str]:
    return [str(part) for part in _nodes(sequence)]
