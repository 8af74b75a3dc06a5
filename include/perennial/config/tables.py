"""The contract of a pipeline's data: the tables that land, and their columns."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from perennial.config.contract import Contract
from perennial.config.date_format import MAX_LENGTH, read_format
from perennial.config.dialect import Csv
from perennial.config.limits import MAX_TEXT
from perennial.config.values import (
    Bytes,
    Column,
    CountOrNone,
    Day,
    HeaderName,
    Problem,
    Range,
    Share,
    Some,
    Text,
    TextOrWhole,
    Uri,
    is_file_name,
    refuse,
)


class ColumnContract(Contract):
    """One column of a drop: its type, and the rules that a value must satisfy to reach the clean table."""

    type: Literal["string", "integer", "double", "boolean", "date", "time", "timestamp"]
    format: Annotated[str, Field(max_length=MAX_LENGTH)] | None = None
    """The form of the texts of a date or timestamp, such as dd.MM.yyyy; None: ISO 8601."""

    required: bool = False
    range: Range | None = None
    enum: Annotated[Some[TextOrWhole], Field(max_length=10_000)] | None = None
    max_length: Annotated[int, Field(gt=0, le=1_000_000)] = MAX_TEXT
    null_text: Text | None = None
    since: Day | None = None
    """The first date whose drop must have the column."""

    until: Day | None = None
    """The last date whose drop must have the column."""

    optional: bool = False
    """Allow the column to be missing in any drop."""

    header: HeaderName | None = Field(default=None, alias="from")
    """The name in the header of the files, if it is not the column's own. The YAML calls it `from`."""

    @field_validator("format")
    @classmethod
    def _reads_the_type(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is None or "type" not in info.data:
            return text
        kind = info.data["type"]
        if kind not in ("date", "timestamp"):
            raise ValueError(f"format is for columns of type date or timestamp, this column has type {kind}")
        if (found := read_format(text).kind) != kind:
            has, remedy = ("no time", "such as HH:mm:ss") if found == "date" else ("a time", "which a date does not have")
            raise ValueError(f"{text!r} has {has}, {remedy}: change it, or the type to {found}")
        return text

    @field_validator("until")
    @classmethod
    def _is_not_before_since(cls, until: date | None, info: ValidationInfo) -> date | None:
        since = info.data.get("since")
        if until is not None and since is not None and until < since:
            raise ValueError(f"until {until} is before since {since}: no drop would need the column")
        return until

    @field_validator("optional")
    @classmethod
    def _is_said_once(cls, optional: bool, info: ValidationInfo) -> bool:
        if optional and (info.data.get("since") or info.data.get("until")):
            raise ValueError("an optional column may be missing on any date; remove since and until, or optional")
        return optional

    @property
    def rules(self) -> dict[str, Any]:
        """
        Return the rules for a cell as JSON.

        since, until and optional do not count: the header lists the columns of a drop. The name in the header is no rule.
        A column without `format` has no key of it: its fingerprints are as before there were formats.
        """
        others = {"since", "until", "optional", "header"} | ({"format"} if self.format is None else set())
        return self.model_dump(mode="json", exclude=others)

    def may_be_missing(self, day: date | None) -> bool:
        """Return whether the column may be missing in the drop of a date (None: a reference)."""
        if self.optional or day is None:
            return self.optional
        return (self.since is not None and day < self.since) or (self.until is not None and day > self.until)

    @field_validator("range", "enum")
    @classmethod
    def _fits_the_type(cls, value: list[Any] | None, info: ValidationInfo) -> list[Any] | None:
        allowed = {"range": ("integer", "double"), "enum": ("string", "integer")}[info.field_name or ""]
        kind = info.data.get("type", allowed[0])
        if value is not None and kind not in allowed:
            raise ValueError(f"{info.field_name} is for columns of type {' or '.join(allowed)}, this column has type {kind}")
        if value is not None and info.field_name == "enum":
            wanted = str if kind == "string" else int
            refuse(
                (
                    (index,),
                    f"expected {'text' if wanted is str else 'a whole number'}, because the type is {kind}, found {entry!r}",
                )
                for index, entry in enumerate(value)
                if not isinstance(entry, wanted)
            )
        return value


class Reference(Contract):
    """A table that changes rarely: one object, always replaced as a whole."""

    is_dated: ClassVar[bool] = False

    uri: Uri
    format: Literal["csv"] = "csv"
    csv: Csv = Csv()
    columns: Annotated[dict[Column, ColumnContract], Field(min_length=1, max_length=2000)]
    key: Some[Column]
    min_rows: CountOrNone = 1
    max_quarantine_share: Share = 0.05
    max_bytes: Bytes = 2**31

    @field_validator("uri")
    @classmethod
    def _names_its_object(cls, uri: str) -> str:
        if "{" in uri or not is_file_name(uri.rpartition("/")[2]):
            raise ValueError("expected the address of one .csv or .csv.gz object, without {date}")
        return uri

    @field_validator("columns")
    @classmethod
    def _dates_are_of_drops(cls, columns: dict[str, ColumnContract]) -> dict[str, ColumnContract]:
        refuse(
            ((name, word), f"a reference has no dates: use optional for a column that may be missing, found {word}")
            for name, column in columns.items()
            for word in ("since", "until")
            if not cls.is_dated and getattr(column, word) is not None
        )
        return columns

    @field_validator("columns")
    @classmethod
    def _have_one_place_each(cls, columns: dict[str, ColumnContract]) -> dict[str, ColumnContract]:
        names = Counter(column.header or name for name, column in columns.items())
        refuse(
            ((name, "from") if column.header else (name,), f"another column is read from {column.header or name!r}, too")
            for name, column in columns.items()
            if names[column.header or name] > 1
        )
        return columns

    @field_validator("key")
    @classmethod
    def _is_declared(cls, key: list[str], info: ValidationInfo) -> list[str]:
        columns: dict[str, ColumnContract] = info.data.get("columns", {})
        problems: list[Problem] = []
        for index, name in enumerate(key):
            if "columns" in info.data and name not in columns:
                problems.append(((index,), f"key column {name!r} is not among columns"))
            elif name in columns and (columns[name].optional or columns[name].since or columns[name].until):
                problems.append(
                    ((index,), f"key column {name!r} may be missing (since, until, optional): every row needs its key")
                )
        refuse(problems)
        return key

    @property
    def header(self) -> dict[str, str]:
        """Return the column by each name of the header, in the order of the contract."""
        return {column.header or name: name for name, column in self.columns.items()}

    def may_lack(self, day: date | None) -> frozenset[str]:
        """Return the names in the header that may be missing in the drop of a date (None: a reference)."""
        return frozenset(header for header, name in self.header.items() if self.columns[name].may_be_missing(day))


class Source(Reference):
    """A table that receives one drop for each date: files under `uri`, then _MANIFEST.json."""

    is_dated: ClassVar[bool] = True

    deadline_hours: Annotated[float, Field(gt=0, le=168)] = 6
    """At most a week: the waiting task gives up after eight days."""

    @field_validator("uri")
    @classmethod
    def _names_its_object(cls, uri: str) -> str:
        if uri.count("{date}") != 1 or not uri.endswith("/"):
            raise ValueError("expected {date} exactly once and a / at the end")
        return uri

    def drop_uri(self, day: date) -> str:
        """Return the folder of one date's drop; it ends with /."""
        return self.uri.replace("{date}", day.isoformat())

    def holds(self, uri: str) -> bool:
        """Return whether another table's uri is inside a drop folder of this source, where its files would be extra files."""
        folder = re.escape(self.uri).replace(re.escape("{date}"), "[0-9]{4}-[0-9]{2}-[0-9]{2}")
        return re.match(folder, uri.replace("{date}", "2000-01-01")) is not None
