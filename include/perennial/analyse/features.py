"""Features, labels and lookups: the columns that their SQL must return, and the join of features with lookups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.analyse.job_file import FeaturesQuery, LabelsQuery, LookupQuery
from perennial.errors import RefusedError
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.spark.pinned import read_days
from perennial.spark.sql import FIELD_TYPES, NUMBERS, WHOLE, quoted, require_columns
from perennial.spark.tables import table_name


def lookup_rows(rows: DataFrame, lookup: LookupQuery) -> DataFrame:
    """
    Return a lookup's rows: as_of, key (text), values (doubles).

    Keys that contain a null are left out, since they cannot match anything.
    """
    expected: dict[str, T.DataType] = {"as_of": T.DateType()}
    expected |= {name: T.StringType() for name in lookup.key}
    expected |= {name: T.DoubleType() for name in lookup.values}
    accepts = {**dict.fromkeys(lookup.key, WHOLE), **dict.fromkeys(lookup.values, NUMBERS)}
    return require_columns(rows, lookup.file, expected, accepts).dropna(subset=list(lookup.key))


def feature_rows(rows: DataFrame, features: FeaturesQuery) -> DataFrame:
    """
    Return the rows of features.sql: date, row key, request fields, label. A column with two roles is returned once.

    A label that is known later must not be among them: it would give the answer to the model.
    """
    request = {field.name: field.type for field in features.request}
    later = features.later_label
    if later in rows.columns:
        raise RefusedError(
            f"{features.file}: it selects the label {later!r}, which is known only after its date",
            remedy="Select it in labels.sql only; features.sql may hold only columns that a caller knows.",
        )
    return _require_typed(
        rows, features.file, [*features.row_key, *request, *([features.label] if features.label else [])], request
    )


def label_rows(rows: DataFrame, labels: LabelsQuery, types: Mapping[str, str]) -> DataFrame:
    """
    Return the rows of labels.sql: date, row key, label.

    :param types: the types of the features' columns, if known; the columns of the row key must have the same types
    """
    request = {field.name: field.type for field in labels.request}
    labelled = _require_typed(rows, labels.file, [*labels.row_key, labels.label], request)
    require_key_types(labels.file, labels.row_key, dict(labelled.dtypes), "features.sql", types)
    return labelled


def require_key_types(file: str, row_key: Iterable[str], types: Mapping[str, str], other: str, others: Mapping[str, str]) -> None:
    """Refuse a row key that has other types in a file than in another file; columns of unknown type pass."""
    problems = [
        f"column {name!r} has type {types[name]}, but type {others[name]} in {other}"
        for name in dict.fromkeys(row_key)
        if name in types and name in others and _stored_type(types[name]) != _stored_type(others[name])
    ]
    if problems:
        raise RefusedError(f"{file}: the row key has other types than in {other}", problems, "Cast these columns.")


def _stored_type(kind: str) -> str:
    """Return the type in which a table stores a column: Iceberg has no integer type smaller than int."""
    return {"tinyint": "int", "smallint": "int"}.get(kind, kind)


def _require_typed(rows: DataFrame, file: str, names: Iterable[str], request: dict[str, str]) -> DataFrame:
    """Return `date` and these columns; request fields get their declared types."""
    types = {field.name: field.dataType for field in rows.schema}
    expected: dict[str, T.DataType] = {"date": T.DateType()}
    accepts = {}
    for name in dict.fromkeys(names):
        if name in request and name != "date":
            expected[name], accepts[name] = FIELD_TYPES[request[name]]
        elif name != "date":
            # A row key or a label that is not a request field may have any type, so the query's own type is accepted.
            expected[name] = types.get(name, T.NullType())
    return require_columns(rows, file, expected, accepts)


def read_lookups(spark: SparkSession, features: FeaturesQuery, database: str) -> dict[str, DataFrame]:
    """Return by name the rows of the lookups that features join, under the fingerprints that the job names."""
    return {
        lookup.name: read_days(spark, table_name(database, lookup.table), "as_of", lookup.days) for lookup in features.lookups
    }


def join_lookups(rows: DataFrame, features: FeaturesQuery, lookups: Mapping[str, DataFrame]) -> DataFrame:
    """Add `<lookup>__<value>` columns as of the midnight that begins the row's date; unknown keys get null."""
    for lookup in features.lookups:
        names = {"as_of": "__as_of"}
        names |= {name: f"__{name}" for name in lookup.key}
        names |= {name: f"{lookup.name}__{name}" for name in lookup.values}
        renamed = lookups[lookup.name].selectExpr(*[f"{quoted(old)} AS {quoted(new)}" for old, new in names.items()])
        matches = ["date = __as_of", *[f"{quoted(name)} = {quoted(names[name])}" for name in lookup.key]]
        rows = rows.join(renamed, F.expr(" AND ".join(matches)), "left")
        rows = rows.drop("__as_of", *[names[name] for name in lookup.key])
    return rows


def with_sample(rows: DataFrame, row_key: Sequence[str]) -> DataFrame:
    """Add the column SAMPLE, the hash of the date and the row key."""
    columns = ", ".join(quoted(name) for name in dict.fromkeys(["date", *row_key]))
    return rows.withColumn(SAMPLE, F.expr(f"CAST(xxhash64({columns}) & {2**SAMPLE_BITS - 1} AS INT)"))


def refuse_undated(rows: DataFrame, file: str) -> DataFrame:
    """Return the rows of an analysis; refuse them without a column `date`. The other columns are free."""
    kind = {field.name: field.dataType for field in rows.schema}.get("date")
    if not isinstance(kind, T.DateType):
        raise RefusedError(
            f"{file}: expected a column date of type date, found {kind.simpleString() if kind else 'none'}",
            remedy="Select date from the view dates.",
        )
    return rows
