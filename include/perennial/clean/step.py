"""Runs a pipeline's cleaning step in Python, `sources/<name>.py`, over the good rows, one date at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

from perennial.spark.lean import allow_libraries

from pyspark import cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.clean import step_worker
from perennial.clean.job_file import PandasStep
from perennial.clean.step_worker import ORDER, PROBLEM, Task, describe_versions, make_cleaner, make_probe
from perennial.errors import RefusedError
from perennial.spark.tables import identifier

MAX_FAILURES = 10


def prepare_step(drop: DataFrame, file: str, step: PandasStep) -> Callable[[DataFrame], DataFrame]:
    """
    Return a function that turns good rows into the rows that `clean` makes of them, with the column of problems.

    Its columns and their types are those of its result for a DataFrame without rows, so they do not depend on the data.
    Arrow, rather than Spark's own conversion to pandas, keeps both instants of an hour that the clock shows twice.

    :param drop: rows with the columns that the step sees, and the two columns ORDER
    """
    if problem := describe_versions(step.libraries):
        raise RefusedError(
            f"{file} needs other libraries than Spark's Python has: {problem}",
            remedy="Run `make setup`; in containers, build the images again.",
        )
    # Workers get the functions themselves: on other machines, this package is not installed.
    cloudpickle.register_pickle_by_value(step_worker)  # type: ignore[no-untyped-call]
    allow_libraries()
    names = [name for name in drop.columns if name not in ORDER]
    time_zone = drop.sparkSession.conf.get("spark.sql.session.timeZone", "UTC")
    task = Task(file, step.source, str(time_zone), step.libraries, dated="date" in names)
    columns = _probe(drop, task, names)
    schema = T.StructType([*columns.fields, T.StructField(PROBLEM, T.StringType())])
    cleaner = make_cleaner(task, names, _arrow_types(columns))

    def apply(rows: DataFrame) -> DataFrame:
        return (rows.groupBy("date") if task.dated else rows.groupBy()).applyInArrow(cleaner, schema)

    return apply


def refuse_failures(rows: DataFrame, file: str) -> DataFrame:
    """Return the rows of a step without the column of problems; raise RefusedError if it failed on a date."""
    failed = rows.where(F.col(PROBLEM).isNotNull()).select(PROBLEM).orderBy(PROBLEM).limit(MAX_FAILURES + 1).collect()
    if not failed:
        return rows.drop(PROBLEM)
    problems = [json.loads(row[PROBLEM]) for row in failed]
    if len(problems) == 1:
        where, problem, remedy = problems[0]
        raise RefusedError(where, [problem], remedy)
    raise RefusedError(
        f"{file} fails on several dates", [f"{where}: {problem}" for where, problem, _ in problems], problems[0][2]
    )


def _probe(rows: DataFrame, task: Task, names: Sequence[str]) -> T.StructType:
    """Return the columns of the step's result."""
    from pyspark.sql.pandas.types import to_arrow_schema

    one = rows.sparkSession.range(1, numPartitions=1)
    probe = make_probe(task, list(names), to_arrow_schema(rows.schema))
    row = one.mapInArrow(probe, "answer string").first()
    answer = json.loads(row["answer"]) if row is not None else {}
    if "problem" in answer:
        where, problem, remedy = answer["problem"]
        raise RefusedError(where, [problem], remedy)
    ddl = ", ".join(f"{identifier(name)} {kind}" for name, kind in answer["columns"])
    return cast(T.StructType, T.StructType.fromDDL(ddl))


def _arrow_types(columns: T.StructType) -> dict[str, Any]:
    from pyspark.sql.pandas.types import to_arrow_schema

    return {field.name: field.type for field in to_arrow_schema(columns)}
