"""The first rows of a trial, the types of its columns, the dates that it saw, and whether it is exact alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.util import inheritable_thread_target

from perennial.analyse.job_file import Query
from perennial.analyse.partitions import find_duplicates
from perennial.analyse.queries import Queries
from perennial.analyse.row_rules import Rule, feature_rules, refuse_broken
from perennial.analyse.views import CleanTables
from perennial.analyse.visible import VisibleRange, range_of_dates, range_of_features, range_of_labels, range_of_lookups
from perennial.errors import RefusedError
from perennial.spark.batch_independence import find_difference
from perennial.spark.budget import within_budget
from perennial.spark.job import several_at_once
from perennial.spark.sql import failing_on_rows
from perennial.spark.tables import days_filter
from perennial.store.json_value import JsonValue
from perennial.trial.job_file import TrialJob
from perennial.trial.skew import MIN_ROWS, describe_skew, tag_jobs


@dataclass(frozen=True, slots=True)
class _Kind:
    """The query of a trial: how the stage plans it for some days, the dates that it sees, and the columns of its rows."""

    item: Query
    plan: Callable[[Any], DataFrame]
    sees: Callable[[Iterable[str]], VisibleRange]
    day_column: str
    unique: Sequence[str]
    rules: Sequence[Rule] = ()


def show_query(spark: SparkSession, job: TrialJob, tables: CleanTables) -> dict[str, JsonValue]:
    """Return the rows of the day, as the stage would store them if their types fit, and everything that it would refuse."""
    queries = Queries(spark, job.queries, tables)
    kind = _kind_of(job, queries)
    alone = replace(kind.item, days={job.day: ""})
    raw = queries.run(alone, kind.sees(alone.days))
    problems: list[str] = []
    try:
        rows = kind.plan(alone)
    except RefusedError as error:
        rows, problems = raw, error.problems or [str(error)]
    with within_budget(spark, kind.item.file), failing_on_rows(kind.item.file, kind.item.sql):
        rows = rows.persist()  # Spark plans the rows here, and evaluates the constants of the query
        with tag_jobs(spark) as tag:
            found = _describe(rows, raw, job, kind.day_column, [kind.day_column, *kind.unique] if not problems else [])
        found["warnings"] = describe_skew(spark, tag, max(job.many_rows, MIN_ROWS)) if job.is_big else []
        if not problems:
            with several_at_once() as pool:
                compared = _compare(kind, job, rows, pool)
                within = inheritable_thread_target(spark)  # the threads of the pool share the budget
                checks = [
                    pool.submit(within(_foreign_days), rows, job, kind.day_column),
                    pool.submit(within(_duplicates), rows, kind),
                    pool.submit(within(_broken_rules), rows, kind),
                ]
                problems += [problem for check in checks for problem in check.result()]
                found["alone"] = {day: difference.result() for day, difference in compared.items()}
        tables.show(kind.sees(alone.days))
        found["saw"] = {name: _count_dates(spark.table(name)) for name in job.tables}
    return {**found, "problems": problems}


def show_source(job: TrialJob, rows: DataFrame, alone: DataFrame) -> dict[str, JsonValue]:
    """
    Return the clean rows of the day, and the difference that other days of the drop make to them.

    :param alone: the rows of the day, cleaned alone
    """
    source = job.tables[str(job.source)]
    sql = (source.drops.sql if source.drops else None) or ""
    file = f"sources/{job.source}.sql"
    with within_budget(rows.sparkSession, file), failing_on_rows(file, sql):
        found = _describe(alone, alone, job, "date", [])
        is_shaped = source.drops is not None and (source.drops.sql is not None or source.drops.step is not None)
        if is_shaped and source.drops and len(source.drops.days) > 1:
            found["alone"] = {job.day: find_difference("date", job.day, rows.persist(), alone)}
    return {**found, "warnings": [], "problems": [], "saw": {}}


def _kind_of(job: TrialJob, queries: Queries) -> _Kind:
    asked, lookback = job.queries, job.queries.lookback_days
    if asked.lookups:
        lookup = asked.lookups[0]
        return _Kind(lookup, queries.lookup, lambda days: range_of_lookups(days, lookback), "as_of", lookup.key)
    if asked.labels:
        labels = asked.labels[0]
        queries.features(asked.features[0])  # the labels repeat the types of its row key
        after = labels.known_after_days
        return _Kind(labels, queries.labels, lambda days: range_of_labels(days, lookback, after), "date", labels.row_key)
    if asked.features:
        features = asked.features[0]
        return _Kind(
            features,
            queries.features,
            lambda days: range_of_features(days, lookback),
            "date",
            features.row_key,
            feature_rules(features),
        )
    return _Kind(asked.analysis[0], queries.analysis, lambda days: range_of_dates(days, lookback), "date", ())


def _describe(rows: DataFrame, raw: DataFrame, job: TrialJob, day_column: str, order: Sequence[str]) -> dict[str, JsonValue]:
    """Return the number of rows of the day, the first of them, and the columns with the types found and stored."""
    stored = {field.name: field.dataType.simpleString() for field in rows.schema}
    if isinstance(rows.schema[day_column].dataType if day_column in rows.columns else None, T.DateType):
        rows = rows.where(days_filter(day_column, [job.day]))
    first = rows.orderBy(*order) if order else rows
    # Times are shown as Spark has them, not in the time zone of this machine.
    shown = [
        F.col(f"`{field.name}`").cast("string").alias(field.name)
        if isinstance(field.dataType, T.TimestampType | T.DateType | T.DecimalType)
        else F.col(f"`{field.name}`")
        for field in first.schema
    ]
    return {
        "count": rows.count(),
        "rows": [
            {name: _plain(value) for name, value in row.asDict().items()}
            for row in first.select(*shown).limit(job.max_rows).collect()
        ],
        "columns": [{"name": f.name, "type": f.dataType.simpleString(), "stored": stored.get(f.name)} for f in raw.schema],
        "alone": {},
    }


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _duplicates(rows: DataFrame, kind: _Kind) -> list[str]:
    found = find_duplicates(rows, kind.day_column, kind.unique) if kind.unique else []
    return [f"several rows with the same ({', '.join(kind.unique)}): {text}" for text in found]


def _broken_rules(rows: DataFrame, kind: _Kind) -> list[str]:
    """Return the rules of a record that some rows break, such as null in a field that no caller may leave null."""
    try:
        refuse_broken(rows, kind.item.file, kind.rules, kind.day_column, kind.unique)
    except RefusedError as error:
        return error.problems
    return []


def _foreign_days(rows: DataFrame, job: TrialJob, day_column: str) -> list[str]:
    days = rows.where(~days_filter(day_column, [job.day]) | F.col(day_column).isNull()).select(day_column).distinct().limit(5)
    foreign = [str(row[0]) for row in days.collect()]
    return [f"it returns rows of {day}: take {day_column} from the view dates" for day in sorted(foreign)]


def _compare(kind: _Kind, job: TrialJob, rows: DataFrame, pool: ThreadPoolExecutor) -> dict[str, Future[str | None]]:
    """Find by day of the batch how its rows in the batch differ from those of the day alone; None: they are equal."""
    days = kind.item.days
    if len(days) < 2:
        return {}
    among = kind.plan(kind.item).persist()
    alone = {day: rows if day == job.day else kind.plan(replace(kind.item, days={day: ""})) for day in days}
    find = inheritable_thread_target(rows.sparkSession)(find_difference)
    return {day: pool.submit(find, kind.day_column, day, among, made) for day, made in alone.items()}


def _count_dates(rows: DataFrame) -> dict[str, JsonValue]:
    """Return the number of rows, and of dates if the table has dates, with the first and the last date."""
    if "date" not in rows.columns:
        return {"rows": rows.count()}
    ends = [f"CAST({end}(date) AS STRING) AS {name}" for end, name in (("min", "first"), ("max", "last"))]
    facts = ("count(1) AS rows", "count(DISTINCT date) AS dates", *ends)
    (row,) = rows.selectExpr(*facts).collect()
    return dict(row.asDict())
