"""
Runs a pipeline's `clean(df)` in a Python worker of Spark. Self-contained: workers on other machines lack this package.

A failure is returned as a value, so that all failing dates are reported together and without Spark's stack traces.
"""

from __future__ import annotations

import difflib
import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PROBLEM = "__problem"
"""The column of a failure: the JSON of where, problem and remedy."""

ORDER = ("__file", "__position")
"""The columns that order the rows of a date as its files do; the step does not see them."""

_EMPTY = "on a DataFrame without rows, from which the columns of the table are known"
_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """
    A step to run.

    :param file: its name in errors, `sources/<name>.py`
    :param libraries: the versions that it must run with
    :param dated: whether the rows have dates; those of a reference have none
    """

    file: str
    source: str
    time_zone: str
    libraries: Mapping[str, str]
    dated: bool


class StepError(Exception):
    """A failure of a step: where, the problem, and the remedy."""


def describe_versions(expected: Mapping[str, str]) -> str | None:
    """Return the difference between the expected and the installed libraries, or None."""
    from importlib.metadata import PackageNotFoundError, version

    differ = []
    for name, wanted in sorted(expected.items()):
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "none"
        if found != wanted:
            differ.append(f"{name} {wanted} (found {found})")
    return f"expected {', '.join(differ)}" if differ else None


def make_probe(task: Task, names: list[str], schema: pa.Schema) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return a function of batches that yields, for each, the columns of the step's result (name and Spark's type) as JSON."""

    def probe(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for _ in batches:
            try:
                frame = _call(task, schema.empty_table().select(names), _EMPTY)
                answer = json.dumps({"columns": [[name, _spark_type(task, name, frame)] for name in frame.columns]})
            except StepError as error:
                answer = json.dumps({"problem": error.args})
            yield pa.RecordBatch.from_pydict({"answer": [answer]})

    return probe


def make_cleaner(task: Task, names: list[str], columns: Mapping[str, pa.DataType]) -> Callable[[pa.Table], pa.Table]:
    """
    Return a function that turns the rows of one date into the result, or into one row with the problem.

    :param names: the columns that the step sees
    :param columns: the columns of its result, as the probe found them
    """

    def clean_date(rows: pa.Table) -> pa.Table:
        import pyarrow as pa

        try:
            ordered = rows.sort_by([(name, "ascending") for name in ORDER]).select(names)
            day = ordered["date"][0].as_py() if task.dated else None
            frame = _call(task, ordered, "" if day is None else f"on the rows of {day}")
            table = _to_arrow(task, frame, columns, day)
            return table.append_column(PROBLEM, pa.nulls(table.num_rows, pa.string()))
        except StepError as error:
            failed = {name: pa.nulls(1, kind) for name, kind in columns.items()}
            return pa.table({**failed, PROBLEM: pa.array([json.dumps(error.args)])})

    return clean_date


def _call(task: Task, rows: pa.Table, where: str) -> pd.DataFrame:
    """Run the file again for each date, so that nothing of one date reaches another, and return what `clean` returns."""
    if problem := describe_versions(task.libraries):
        raise StepError(
            task.file, f"Spark's Python has other libraries: {problem}", "Run `make setup`, or build the images again."
        )
    import pandas as pd
    import pyarrow as pa

    zone = pa.timestamp("us", tz=task.time_zone)
    kinds = {field.name: zone if pa.types.is_timestamp(field.type) else field.type for field in rows.schema}
    kinds = {name: pa.string() if pa.types.is_large_string(kind) else kind for name, kind in kinds.items()}
    frame = rows.cast(pa.schema(list(kinds.items()))).to_pandas(types_mapper=pd.ArrowDtype)
    try:
        module: dict[str, Any] = {"__name__": task.file.rpartition("/")[2].removesuffix(".py")}
        exec(compile(task.source, task.file, "exec", dont_inherit=True), module)  # noqa: S102
        result = module["clean"](frame)
    except (Exception, SystemExit) as error:
        raise _describe_failure(task, error, where, [str(name) for name in frame.columns]) from None
    if not isinstance(result, pd.DataFrame):
        raise StepError(
            task.file, f"clean returned {type(result).__name__}, expected a DataFrame", "Return the cleaned DataFrame."
        )
    names = list(result.columns)
    if odd := [name for name in names if not isinstance(name, str) or name.startswith("__") or names.count(name) > 1]:
        raise StepError(
            task.file, f"its result has columns {odd!r}", "Give each column a name of its own, a text without leading __."
        )
    return result


def _describe_failure(task: Task, error: BaseException, where: str, columns: list[str]) -> StepError:
    calls = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in calls if frame.filename == task.file]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    lines = task.source.splitlines()
    code = f", in `{lines[line - 1].strip()[:200]}`" if line is not None and 0 < line <= len(lines) else ""
    text = " ".join(str(error).split())[:_MAX_TEXT]
    remedy = "Change the file so that it handles such rows."
    is_raised_by_pandas = bool(calls) and calls[-1].filename != task.file  # a dict of the step raises KeyError, too
    if isinstance(error, KeyError) and is_raised_by_pandas and (key := _missing_column(error, columns)) is not None:
        near = difflib.get_close_matches(key, columns, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        remedy = f"df has no column {key!r}.{hint} Its columns are {', '.join(columns)[:_MAX_TEXT]}."
        where = "" if where == _EMPTY else where  # the rows are not the cause
    cause = f"{type(error).__name__}{f': {text}' if text else ''}{code}{f', {where}' if where else ''}"
    return StepError(f"{task.file}, line {line}" if line else task.file, cause, remedy)


def _missing_column(error: KeyError, columns: list[str]) -> str | None:
    """Return the column that pandas did not find, if its message names one."""
    key = error.args[0] if error.args else None
    if not isinstance(key, str):
        return None
    listed = re.fullmatch(r"\['(.+)'\] not (?:found in axis|in index)", key)
    names = listed[1].split("', '") if listed else [] if " are in the [" in key else [key]
    return next((name for name in names if name not in columns), None)


def _spark_type(task: Task, name: str, frame: pd.DataFrame) -> str:
    """Return Spark's name of the type of a column of the empty result."""
    import pyarrow as pa

    kind = _natural(task, name, frame).type
    plain: list[tuple[Callable[[pa.DataType], bool], str]] = [
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_int8, "tinyint"),
        (pa.types.is_int16, "smallint"),
        (pa.types.is_int32, "int"),
        (pa.types.is_int64, "bigint"),
        (pa.types.is_float32, "float"),
        (pa.types.is_float64, "double"),
        (pa.types.is_date32, "date"),
        (_is_text, "string"),
        (pa.types.is_timestamp, "timestamp"),
    ]
    for is_kind, spark in plain:
        if is_kind(kind):
            return spark
    if pa.types.is_decimal128(kind) and kind.scale >= 0:
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_null(kind):
        problem = f"column {name!r} has no type without rows"
        raise StepError(task.file, problem, f"End with df[{name!r}].astype('string[pyarrow]') or another type of pyarrow.")
    raise StepError(
        task.file,
        f"column {name!r} is of type {kind}, which no table can hold",
        "Return texts, whole numbers with a sign, floating-point numbers, decimals, dates, timestamps with a zone or booleans.",
    )


def _natural(task: Task, name: str, frame: pd.DataFrame, day: object = None) -> pa.Array:
    """Return a column as Arrow takes it; a category becomes its text. A timestamp without a zone has no instant."""
    import pandas as pd
    import pyarrow as pa

    series = frame[name]
    try:
        # An empty Arrow array of a category has lost the type of its values.
        values = series.astype(series.dtype.categories.dtype) if isinstance(series.dtype, pd.CategoricalDtype) else series
        column = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise StepError(
            task.file,
            f"column {name!r} holds values of several types{_on(day)}: {' '.join(str(error).split())[:_MAX_TEXT]}",
            f"End with df[{name!r}].astype('string[pyarrow]') or another type of pyarrow.",
        ) from None
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        remedy = f"Name its zone: df[{name!r}].dt.tz_localize({task.time_zone!r})."
        raise StepError(task.file, f"column {name!r} has times without a time zone{_on(day)}", remedy)
    return column


def _to_arrow(task: Task, frame: pd.DataFrame, columns: Mapping[str, pa.DataType], day: object) -> pa.Table:
    """Return the result with exactly the expected columns, in order and of their types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if set(frame.columns) != set(columns):
        raise StepError(
            task.file,
            f"its columns depend on its rows: {', '.join(frame.columns)}{_on(day)}, but {', '.join(columns)} without rows",
            "Return the same columns for every date.",
        )
    arrays = {name: _typed(task, name, _natural(task, name, frame, day), kind, day) for name, kind in columns.items()}
    table = pa.table(arrays)
    others = [other for other in pc.unique(table["date"]).to_pylist() if other != day] if task.dated else []
    if others:
        found = ", ".join("null" if other is None else str(other) for other in others[:3])
        raise StepError(task.file, f"it returns rows of other dates{_on(day)}: {found}", "Return the column date unchanged.")
    return table


def _typed(task: Task, name: str, column: pa.Array, kind: pa.DataType, day: object) -> pa.Array:
    import pyarrow as pa

    alike: list[Callable[[pa.DataType], bool]] = [_is_text, _is_number, pa.types.is_timestamp]
    try:
        if column.type == kind or pa.types.is_null(column.type) or any(is_of(column.type) and is_of(kind) for is_of in alike):
            return column.cast(kind)
        problem = f"is of type {pa.string() if _is_text(column.type) else column.type}"
    except pa.ArrowInvalid as error:
        problem = " ".join(str(error).split())[:_MAX_TEXT]
    raise StepError(
        task.file,
        f"column {name!r}: expected {kind}, as without rows; {problem}{_on(day)}",
        f"Give it one type on every date, for example df[{name!r}].astype('{_suggest_type(column.type, kind)}[pyarrow]').",
    )


def _suggest_type(found: pa.DataType, expected: pa.DataType) -> pa.DataType:
    """Return the type of the rows if a table can hold it: without rows, pandas only guesses a type."""
    import pyarrow as pa

    if _is_text(found):
        return pa.string()
    plain = (pa.types.is_boolean, pa.types.is_date32, pa.types.is_timestamp, pa.types.is_signed_integer, pa.types.is_floating)
    return found if any(is_of(found) for is_of in plain) else expected


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _on(day: object) -> str:
    return "" if day is None else f" on {day}"
