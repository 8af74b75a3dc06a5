"""Whether the result of a query depends on the time at which it runs."""

from __future__ import annotations

from collections.abc import Iterator

from perennial.spark.java import JavaObject

RULES = ("SpecialDatetimeValues", "ComputeCurrentTime")


def moments(plan: JavaObject, optimizer: JavaObject) -> bool:
    """
    Return whether the result of a plan depends on the time at which it runs, in any spelling of the query.

    It does if the rules by which Spark inserts the current time change the plan.

    :param plan: Spark's logical plan after analysis, in the JVM
    :param optimizer: the JVM's package org.apache.spark.sql.catalyst.optimizer
    """
    replace, *rules = (getattr(getattr(optimizer, f"{name}$"), "MODULE$") for name in ("ReplaceExpressions", *RULES))
    # Like Spark, first replace functions that are aliases of other expressions.
    plans = [replace.apply(part) for part in (plan, *_nodes(plan.subqueriesAll()))]
    return any(not rule.apply(part).fastEquals(part) for part in plans for rule in rules)


def _nodes(sequence: JavaObject) -> Iterator[JavaObject]:
    for index in range(sequence.size()):
        yield sequence.apply(index)
