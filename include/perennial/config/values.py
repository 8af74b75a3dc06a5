"""The value types of a pipeline.yaml: names, texts, numbers, dates and addresses, with their limits and error texts."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import date
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from perennial.display.showable import STEERING

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CPU = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(m?)")
_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)([KMGT])(i?)")
COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,62}")
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2200, 12, 31)
"""Limits of start and end: with any time zone and lookback, dates stay within the range of Python, Spark and Airflow."""

VIEWS = {"dates": "the view of the requested dates", "drop": "the view of a source's typed rows"}
"""View names that are reserved in SQL files."""

ICEBERG_COLUMNS = frozenset(("_deleted", "_file", "_last_updated_sequence_number", "_partition", "_pos", "_row_id", "_spec_id"))
"""Names by which Iceberg gives facts about a row in place of a column: Spark can no longer read a table with such a column."""

RESERVED_BY_ICEBERG = "is reserved by Iceberg: Spark could not read the table. Choose another name"

OWN_COLUMNS = ICEBERG_COLUMNS | {"date", "as_of", "_metadata"}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}?\.csv(\.gz)?")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}/[A-Za-z0-9!_.*'()/={}-]*")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STEERING = re.compile(f"[{STEERING}]")
_MAX_URI = 1000
_INT64 = 2**63

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)
Problem = tuple[tuple[str | int, ...], str]
"""The place below the value, and the text of the problem."""


def refuse(problems: Iterable[Problem]) -> None:
    """Raise the problems as pydantic errors of the values at these places, if there are any."""
    details = [
        InitErrorDetails(type=PydanticCustomError("refused", "{text}", {"text": text}), loc=at, input=None)
        for at, text in problems
    ]
    if details:
        raise ValidationError.from_exception_data("pipeline", details)


def is_file_name(name: str) -> bool:
    """Return whether a name is allowed for a landed file: no path, not hidden, plain ASCII, .csv or .csv.gz."""
    return _FILE_NAME.fullmatch(name) is not None and ".." not in name


def read_day(text: str) -> date:
    """Parse a date of the form YYYY-MM-DD between FIRST_DAY and LAST_DAY; raise ValueError for any other text."""
    try:
        day = date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"expected a calendar date, YYYY-MM-DD, found {text!r}")
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"expected a date from {FIRST_DAY} to {LAST_DAY}, found {text}")
    return day


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(f"a name must be 1 to 40 characters of a-z, 0-9 and _, and begin with a letter, found {value[:60]!r}")
    # The objects that serve the pipeline on Kubernetes have its name, with - for _.
    if value.endswith("_") or value == "default":
        raise ValueError(
            f"{value!r} is not a valid Kubernetes name: it must end with a letter or digit, and must not be 'default'"
        )
    return value


def _table(value: str) -> str:
    if value in VIEWS:
        raise ValueError(f"{value!r} is reserved by Perennial: {VIEWS[value]}. Choose another name")
    return value


def is_column_name(value: str) -> bool:
    """Return whether a column of a pipeline may have this name."""
    return COLUMN.fullmatch(value) is not None and value not in OWN_COLUMNS and not value.startswith("__")


def _column(value: str) -> str:
    if not COLUMN.fullmatch(value):
        raise ValueError(f"a column name must be 1 to 63 lower-case letters, digits and _, found {value[:80]!r}")
    if value in ICEBERG_COLUMNS:
        raise ValueError(
            f"{value!r} {RESERVED_BY_ICEBERG}; a column of a source or reference reads its files with `from: {value}`"
        )
    if not is_column_name(value):
        raise ValueError(
            f"{value!r} is reserved by Perennial, as are date, as_of, _metadata and names that begin with __. Choose another name"
        )
    return value


def _field(value: str) -> str:
    return value if value == "date" else _column(value)


def _zone(value: str) -> str:
    try:
        # Other files in the folder of time zones, and zones that Java does not know. Taiwan is Asia/Taipei there.
        if value.startswith(("posix", "right/", "local")) or value in ("Factory", "ROC"):
            raise ValueError
        ZoneInfo(value)  # listing all names would read a folder of hundreds of files
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; use an IANA name such as America/New_York") from None
    return value


def _s3(value: str) -> str:
    if not _S3.fullmatch(value) or ".." in value or len(value) > _MAX_URI or re.search("[{}]", value.replace("{date}", "")):
        raise ValueError("expected an S3 address such as s3://bucket/folder/date={date}/")
    return value


def _line(value: str) -> str:
    if value.strip() != value or not value:
        raise ValueError("expected text that is not empty and has no blanks at its beginning or end")
    if match := _STEERING.search(value):
        raise ValueError(f"the character {match.group()!a} cannot be shown; write plain text on one line")
    return value


def _header(value: str) -> str:
    if match := _STEERING.search(value):
        raise ValueError(f"the character {match.group()!a} cannot be shown; a name in a header is plain text on one line")
    return value


def _number(value: Any) -> Any:
    """Return a whole number of at most 64 bits, or a finite float; refuse bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number")
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError("expected a number of at most 64 bits")
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > 1000:
            raise ValueError(f"expected at most 1000 characters, found {len(value)}")
        return value
    if isinstance(value, bool) or (isinstance(value, int) and -_INT64 <= value < _INT64):
        return value
    raise ValueError("expected text, a whole number of at most 64 bits, true or false")


def _text_or_whole(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected text or a whole number; put text in quotes")
    return _scalar(value)


def _label_key(value: str) -> str:
    prefix, slash, name = value.rpartition("/")
    if not _LABEL.fullmatch(name) or (slash and not _DOMAIN.fullmatch(prefix)):
        raise ValueError(f"expected a Kubernetes label name, such as pool or cloud.google.com/gke-nodepool, found {value!r}")
    return value


def _label_value(value: str) -> str:
    if value and not _LABEL.fullmatch(value):
        raise ValueError(f"expected at most 63 letters, digits, -, _ and . with a letter or digit at both ends, found {value!r}")
    return value


def _resource_name(value: str) -> str:
    if "/" not in _label_key(value):
        raise ValueError(f"expected a resource such as nvidia.com/gpu, found {value!r}")
    return value


def _cpu(value: Any) -> str:
    """Return a CPU quantity of Kubernetes: a number, or thousandths with an m."""
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    match = _CPU.fullmatch(text) if isinstance(text, str) else None
    if match is None or not 0.001 <= float(match[1]) / (1000 if match[2] else 1) <= 1024:
        raise ValueError(f"expected a number of CPUs, such as 2, 0.5 or 250m (thousandths), found {value!r}")
    return str(text)


def bytes_of(size: str) -> int:
    """Return the number of bytes of a size with a unit of Kubernetes, such as 512Mi; 0: it is no size."""
    match = _MEMORY.fullmatch(size)
    return int(float(match[1]) * (1024 if match[3] else 1000) ** ("KMGT".index(match[2]) + 1)) if match else 0


def _memory(value: str) -> str:
    if not 2**24 <= bytes_of(value) <= 2**44:
        raise ValueError(f"expected a size with a unit, such as 512Mi or 2Gi (16Mi to 16Ti), found {value!r}")
    return value


def _day(value: Any) -> Any:
    return read_day(value) if isinstance(value, str) else value


def doubled(values: Iterable[H]) -> Iterator[tuple[int, H]]:
    """Yield the index and the value of each repeated entry of a list. 1 and true are different values."""
    seen = set()
    for index, value in enumerate(values):
        if (type(value), value) in seen:
            yield index, value
        seen.add((type(value), value))


def _distinct(values: list[T]) -> list[T]:
    refuse(
        ((index,), f"{str(value) if isinstance(value, date) else repr(value)} is listed twice")
        for index, value in doubled(values)
    )
    return values


def _ordered(values: list[T]) -> list[T]:
    if isinstance(values, Sequence) and len(values) == 2 and values[0] > values[1]:  # type: ignore[operator]
        raise ValueError(f"range {values}: the first number is greater than the second")
    return values


Name = Annotated[str, AfterValidator(_name)]
TableName = Annotated[str, AfterValidator(_name), AfterValidator(_table)]
Column = Annotated[str, AfterValidator(_column)]
FieldName = Annotated[str, AfterValidator(_field)]
Zone = Annotated[str, AfterValidator(_zone)]
Uri = Annotated[str, AfterValidator(_s3)]
Day = Annotated[date, BeforeValidator(_day)]

Title = Annotated[str, Field(max_length=200), AfterValidator(_line)]
Owner = Annotated[str, Field(max_length=80), AfterValidator(_line)]
Tag = Annotated[str, Field(max_length=100), AfterValidator(_line)]
"""Airflow's database limits a tag to 100 characters."""
Text = Annotated[str, Field(max_length=1000)]
HeaderName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_header)]
Expression = Annotated[str, Field(max_length=4000)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
ResourceName = Annotated[str, AfterValidator(_resource_name)]
Cpu = Annotated[str, BeforeValidator(_cpu)]
Memory = Annotated[str, AfterValidator(_memory)]

MIN_ROWS = 50_000
"""The smallest `max_rows`: a training on fewer rows takes too few steps, and a gate on fewer holds too often."""

ManyRows = Annotated[int, Field(ge=MIN_ROWS)]
Positive = Annotated[int, Field(gt=0, le=3660)]
Count = Annotated[int, Field(gt=0, le=10**12)]
CountOrNone = Annotated[int, Field(ge=0, le=10**12)]
Bytes = Annotated[int, Field(gt=0, le=2**50)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float | int, BeforeValidator(_number)]
Scalar = Annotated[bool | int | str, BeforeValidator(_scalar)]
TextOrWhole = Annotated[str | int, BeforeValidator(_text_or_whole)]

Distinct = Annotated[list[T], AfterValidator(_distinct)]
Some = Annotated[list[T], Field(min_length=1), AfterValidator(_distinct)]
Range = Annotated[list[Number], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
