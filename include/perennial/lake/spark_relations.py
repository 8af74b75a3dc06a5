"""What a query reads, from Spark's own reading of it: a full name or a path would see beyond the dates that it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any


def foreign_relations(plan: Any, views: Collection[str]) -> list[str]:
    """
    Return every relation of a parsed plan that is neither one of `views` nor named by a WITH around it.

    :param plan: Spark's logical plan before analysis, in the JVM: nothing is resolved, so names stand as they were written
    """
    return list(dict.fromkeys(_foreign(plan, frozenset(name.lower() for name in views))))


def _foreign(node: Any, known: frozenset[str]) -> Iterator[str]:
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
    # The parts of a WITH and subqueries in expressions are inner children.
    inner = list(_nodes(node.innerChildren()))
    if kind == "UnresolvedWith":
        known |= {part.alias().lower() for part in inner if part.nodeName() == "SubqueryAlias"}
    for below in (*_nodes(node.children()), *inner):
        yield from _foreign(below, known)


def _nodes(sequence: Any) -> Iterator[Any]:
    for index in range(sequence.size()):
        yield sequence.apply(index)


def _strings(sequence: Any) -> list[str]:
    return [str(part) for part in _nodes(sequence)]
