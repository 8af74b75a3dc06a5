"""Finds queries whose result depends on the time at which they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from perennial.spark.java import JavaObject
from perennial.spark.plan_nodes import Node

PREPARE = ("ReplaceExpressions", "PullOutGroupingExpressions", "RewriteWithExpression")
RULES = ("SpecialDatetimeValues", "ComputeCurrentTime")

ZONES, APART = ("-12:00", "+14:00"), 26 * 3_600_000_000
"""Two time zones that never have the same day, and the microseconds between them."""


def holds_times(parsed: Sequence[Node]) -> bool:
    """Return whether a parsed query holds a date or a time, or rows of VALUES, which may."""
    return any(node.kind == "LocalRelation" or _is_time(node) for node in parsed)


def moving_literals(west: Sequence[Node], east: Sequence[Node]) -> bool:
    """
    Return whether a literal of a query holds the time of its parsing, which is in none of the plans.

    Spark turns DATE 'today' and TIMESTAMP '10:00' into the present day of the time zone while it parses them.

    :param west: the query parsed in the first of ZONES
    :param east: the same in the second; other literals differ by the zone alone
    """
    pairs = zip(west, east, strict=True)
    return any(_moves(one.texts[0], one.texts[1], other.texts[1]) for one, other in pairs if _is_time(one))


def _is_time(node: Node) -> bool:
    return node.kind == "Literal" and len(node.texts) == 2


def _moves(kind: str, west: str, east: str) -> bool:
    if west == east:
        return False
    return kind != "timestamp" or "null" in (west, east) or int(west) - int(east) != APART


def depends_on_time(plan: JavaObject, optimizer: JavaObject) -> bool:
    """
    Return whether the result of a plan depends on the time at which it runs, in any spelling of the query.

    It does if the rules by which Spark inserts the current time change the plan.

    :param plan: Spark's logical plan after analysis, in the JVM
    :param optimizer: the JVM's package org.apache.spark.sql.catalyst.optimizer
    """
    prepare, rules = ([getattr(getattr(optimizer, f"{name}$"), "MODULE$") for name in names] for names in (PREPARE, RULES))
    plans = [plan, *_nodes(plan.subqueriesAll())]
    # Like Spark, first replace functions that are aliases of other expressions, and what NULLIF computes once.
    for rule in prepare:
        plans = [rule.apply(part) for part in plans]
    return any(not rule.apply(part).fastEquals(part) for part in plans for rule in rules)


def _nodes(sequence: JavaObject) -> Iterator[JavaObject]:
    for index in range(sequence.size()):
        yield sequence.apply(index)
