"""The nodes of a Spark plan, read by one call of the JVM: a walk through the bridge would cost more than planning the query."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pyspark.sql import SparkSession

from perennial.spark.java import JavaObject, jvm

_PART = "\x1f"


@dataclass(frozen=True, slots=True)
class Node:
    """
    An operator or an expression of a plan.

    :param depth: 0 for the root; a node is followed by its descendants
    :param line: line in the query, or 0
    :param name: full name of its class
    :param texts: the texts and flags that it holds itself; a list of texts is one text
    """

    depth: int
    line: int
    name: str
    texts: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Return the name of its class without the package."""
        return self.name.rpartition(".")[2]

    def parts(self) -> list[str]:
        """Return the parts of the node's name: `a.b` has two."""
        return self.texts[0].split(_PART) if self.texts else [""]


def read_nodes(spark: SparkSession, plan: JavaObject) -> list[Node]:
    """Return all nodes of a plan, those of subqueries and of every field included; parents come first."""
    return _nodes(_reader(spark).read(plan))


def read_parsed(spark: SparkSession, text: str) -> list[Node]:
    """Return the nodes of a query as it is written: each literal of a date or a time has its type, its text and its fault."""
    reader = _reader(spark)
    return _nodes(reader.readParsed(reader.parse(text)))


def takes_present_day(spark: SparkSession, plan: JavaObject) -> bool:
    """Return whether a plan converts a constant text without a day to a timestamp."""
    return bool(_reader(spark).takesPresentDay(plan))


def _nodes(lines: str) -> list[Node]:
    nodes = []
    for row in lines.rstrip("\n").split("\n"):
        depth, line, name, *texts = row.split("\t")
        nodes.append(Node(int(depth), int(line), name, tuple(texts)))
    return nodes


@cache
def _reader(spark: SparkSession) -> JavaObject:
    """Return the reader (PlanReader.java), a class of our own jar."""
    reader: JavaObject = jvm(spark).perennial.PlanReader()
    return reader
