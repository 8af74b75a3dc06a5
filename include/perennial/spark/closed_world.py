"""
The closed world of a pipeline's SQL: a query consists of parts that are known to be harmless.

It is judged twice.
Before Spark resolves its names, no foreign name may be in it: Spark asks for foreign tables and evaluates constants meanwhile.
After that, the resolved plan may hold only the views and parts of known classes. This holds for syntax to come as well.
A part that is not known is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from perennial.spark.node_classes import CALLED_AS, PARSED, RESOLVED
from perennial.spark.plan_nodes import Node
from perennial.sql.refused_functions import REFUSED_SYNTAX, UNKNOWN, why_refused

CALLS = ("UnresolvedFunction", "UnresolvedTableValuedFunction", "UnresolvedGenerator")
"""The classes of a parsed plan that name a function."""


def foreign_relations(nodes: Sequence[Node], views: Collection[str]) -> list[str]:
    """
    Return every relation of a parsed plan that is neither one of `views` nor defined by an enclosing WITH.

    :param nodes: Spark's logical plan before analysis: nothing is resolved yet, so names are as written
    """
    return list(dict.fromkeys(_foreign(nodes, frozenset(name.lower() for name in views))))


def refused_parts(nodes: Sequence[Node]) -> list[str]:
    """Return the functions and the syntax of a parsed plan that no query may use, with the reasons."""
    return list(dict.fromkeys(_refused(nodes)))


def unknown_parts(nodes: Sequence[Node], views: Collection[str]) -> list[str]:
    """Return the parts of a resolved plan that no query may have: views beside `views`, and parts that are not known."""
    return list(dict.fromkeys(_unknown(nodes, frozenset(name.lower() for name in views))))


def _foreign(nodes: Sequence[Node], views: frozenset[str]) -> Iterator[str]:
    visible = [views]
    """The names that a node sees, by its depth."""
    around: list[Node] = []
    """The ancestors of the present node."""
    for node in nodes:
        del visible[node.depth + 1 :], around[node.depth :]
        known = visible[node.depth]
        if node.kind == "UnresolvedRelation" and (len(node.parts()) > 1 or node.parts()[0].lower() not in known):
            yield ".".join(node.parts())
        elif node.kind == "UnresolvedTableValuedFunction" and len(node.parts()) > 1:
            yield f"the function {'.'.join(node.parts())}"
        elif node.kind == "PlanWithUnresolvedIdentifier":
            yield "IDENTIFIER(…) as a table"
        elif node.kind == "RelationTimeTravel":
            yield "another version of a table (AS OF)"
        visible.append(known)
        if node.kind == "SubqueryAlias" and around and around[-1].kind == "UnresolvedWith":
            # A part sees the parts before it. It sees itself only with RECURSIVE; otherwise its own name means a table.
            visible[node.depth] = known | {node.texts[0].lower()}
            visible[-1] = visible[node.depth] if "true" in around[-1].texts else known
        around.append(node)


def _refused(nodes: Sequence[Node]) -> Iterator[str]:
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        has_arguments = after is not None and after.depth > node.depth
        if node.kind in CALLS:
            name = ".".join(node.parts())
            if why := why_refused(name, has_arguments=has_arguments):
                yield _at(node, f"the function {name}: {why}")
        elif node.kind in CALLED_AS:
            yield _call_of(node)
        elif node.name not in PARSED:
            yield _at(node, REFUSED_SYNTAX.get(node.kind) or f"{node.kind}: {UNKNOWN}")


def _unknown(nodes: Sequence[Node], views: frozenset[str]) -> Iterator[str]:
    for node in nodes:
        if node.kind == "View":
            name, kind = node.texts
            if name.strip("`").lower() not in views or kind != "temporary":
                yield f"the view {name}: a query reads only {', '.join(sorted(views))}"
        elif node.kind in CALLED_AS:
            yield _call_of(node)
        elif node.name not in RESOLVED:
            yield _at(node, f"{node.kind}: {UNKNOWN}")


def _call_of(node: Node) -> str:
    name = CALLED_AS[node.kind]
    return _at(node, f"the function {name}: {why_refused(name, has_arguments=False)}")


def _at(node: Node, text: str) -> str:
    return f"line {node.line}: {text}" if node.line else text
