"""Finds queries whose result depends on the time at which they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pyspark.sql import SparkSession

from perennial.spark.java import JavaObject, jvm
from perennial.spark.plan_nodes import Node, takes_present_day

PREPARE = ("ReplaceExpressions", "PullOutGroupingExpressions", "RewriteWithExpression")
RULES = ("SpecialDatetimeValues", "ComputeCurrentTime")

_WORD = re.compile(r"\W*(?:now|today|tomorrow|yesterday)", re.IGNORECASE)
"""The words that Spark replaces by a moment, with a time zone or anything else after them."""


def may_hold_times(parsed: Sequence[Node]) -> bool:
    """Return whether a parsed query holds a date or a time, or rows of VALUES, which may."""
    return any(node.kind == "LocalRelation" or _is_time(node) for node in parsed)


def moving_literals(parsed: Iterable[Node]) -> bool:
    """
    Return whether a literal of a query holds the time of its parsing, which is in none of the plans.

    Spark turns DATE 'today' and TIMESTAMP '10:00' into a present moment while it parses them.

    :param parsed: the query as it is written
    """
    return any(fault or _WORD.match(text) for _, text, fault in (node.texts[:3] for node in parsed if _is_time(node)))


def _is_time(node: Node) -> bool:
    return node.kind == "Literal" and node.texts[:1] in (("date",), ("timestamp",), ("timestamp_ntz",))


def depends_on_time(spark: SparkSession, plan: JavaObject) -> bool:
    """
    Return whether the result of a plan depends on the time at which it runs, in any spelling of the query.

    It does if the rules by which Spark inserts the current time change the plan, or if a constant gets the present day.

    :param plan: Spark's logical plan after analysis, in the JVM
    """
    optimizer = jvm(spark).org.apache.spark.sql.catalyst.optimizer
    prepare, rules = ([getattr(getattr(optimizer, f"{name}$"), "MODULE$") for name in names] for names in (PREPARE, RULES))
    plans = [plan, *_nodes(plan.subqueriesAll())]
    # Like Spark, first replace functions that are aliases of other expressions, and what NULLIF computes once.
    for rule in prepare:
        plans = [rule.apply(part) for part in plans]
    if any(not rule.apply(part).fastEquals(part) for part in plans for rule in rules):
        return True
    return any(takes_present_day(spark, part) for part in plans)


def _nodes(sequence: JavaObject) -> Iterator[JavaObject]:
    for index in range(sequence.size()):
        yield sequence.apply(index)
