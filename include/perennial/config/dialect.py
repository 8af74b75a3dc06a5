"""The dialect of CSV files: how they are encoded, and how their text is divided into cells."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationInfo, field_validator

from perennial.config.contract import Contract

_ALIASES = {
    "utf8": "utf-8",
    "utf16": "utf-16",
    "latin1": "latin-1",
    "iso-8859-1": "latin-1",
    "cp1252": "windows-1252",
}


def _canonical(value: Any) -> Any:
    """Return the one name of an encoding: two names of the same encoding have the same fingerprint."""
    return _ALIASES.get(value.lower(), value.lower()) if isinstance(value, str) else value


class Csv(Contract):
    """
    The dialect of a table's files. Each value is one that Python, Spark and pyarrow read alike.

    `escape` None: a quote within quotes is doubled. `quote` None: no character quotes a cell.
    """

    delimiter: Literal[",", ";", "\t", "|", ":", "^", "~"] = ","
    quote: Literal['"', "'", None] = '"'
    escape: Literal["\\", None] = None
    encoding: Annotated[Literal["utf-8", "utf-16", "latin-1", "windows-1252"], BeforeValidator(_canonical)] = "utf-8"
    decimal: Literal[".", ","] = "."

    @field_validator("escape")
    @classmethod
    def _has_a_quote(cls, escape: str | None, info: ValidationInfo) -> str | None:
        if escape is not None and info.data.get("quote", "") is None:
            raise ValueError("without quotes nothing is escaped; remove escape, or set quote")
        return escape

    @property
    def settings(self) -> dict[str, Any]:
        """Return the values that differ from the defaults, as JSON: a fingerprint of the default dialect does not change."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def division(self) -> dict[str, Any]:
        """Return the same without `decimal`, which does not decide how a file is divided into cells."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"decimal"})
