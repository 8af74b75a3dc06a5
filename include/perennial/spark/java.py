"""The JVM behind a Spark session."""

from __future__ import annotations

from typing import Any, Protocol

from pyspark.sql import SparkSession


class JavaObject(Protocol):
    """An object or a package of the JVM: py4j looks up its members at the time of use, and nothing checks them earlier."""

    def __getattr__(self, name: str) -> Any:
        """Return a member."""


def jvm(spark: SparkSession) -> JavaObject:
    """Return the root of the JVM's packages."""
    root: JavaObject = spark.sparkContext._jvm
    return root
