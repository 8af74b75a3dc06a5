"""Running a pipeline's SQL: a query and nothing else, with errors that name the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from perennial.errors import RefusedError

NUMBERS = (T.NumericType,)
WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)


def run_query(spark: SparkSession, file: str, text: str) -> DataFrame:
    """Return the result of one of the pipeline's SQL files; anything but a single query is refused."""
    try:
        # Parsed as a query first: INSERT, DROP and the like are statements, and would run at once.
        spark._jsparkSession.sessionState().sqlParser().parseQuery(text)
        return spark.sql(text)
    except ParseException as error:
        raise RefusedError(f"{file}: not a query", [_short(error)], "One SELECT (or WITH … SELECT) is allowed.") from None
    except AnalysisException as error:
        raise RefusedError(f"{file}: Spark cannot run it", [_short(error)]) from None


def require_columns(
    rows: DataFrame, file: str, expected: Mapping[str, T.DataType], accepts: Mapping[str, Sequence[type[T.DataType]]]
) -> DataFrame:
    """
    Return the result with exactly the expected columns, in their order and types, or refuse the file.

    :param expected: type that each column gets
    :param accepts: for some columns, other types that are cast without a doubt (a decimal where a double is wanted)
    """
    found = {field.name: field.dataType for field in rows.schema}
    problems = [f"column {name!r} is missing" for name in expected if name not in found]
    problems += [f"column {name!r} is not declared in pipeline.yaml" for name in found if name not in expected]
    problems += [f"column {name!r} stands there twice" for name in found if rows.columns.count(name) > 1]
    for name, kind in expected.items():
        if name in found and found[name] != kind and not isinstance(found[name], tuple(accepts.get(name, ()))):
            problems.append(f"column {name!r}: expected {kind.simpleString()}, found {found[name].simpleString()}")
    if problems:
        raise RefusedError(f"{file}: its columns are not the declared ones", problems, f"Change {file} or pipeline.yaml.")
    return rows.select(*[F.col(name).cast(kind).alias(name) for name, kind in expected.items()])


def _short(error: AnalysisException) -> str:
    """Return Spark's message without the query plan below it."""
    return " ".join(str(error).partition("\n'")[0].split())[:1000]
