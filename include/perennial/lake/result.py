"""The result of a stage, which Airflow, the command line and the demo read as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from enum import Enum, StrEnum
from typing import Any, ClassVar

from perennial.store.json_value import JsonValue

OF_RESULT = {"of_result": True}
"""`extra` of a log record whose text is a warning of the result too."""


class Outcome(StrEnum):
    """The outcome of a stage: it did its work, had nothing to do, or was skipped."""

    DONE = "done"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """The base class of all results; their JSON has the fields in the order of their definition."""

    WHERE_KNOWN: ClassVar[frozenset[str]] = frozenset()
    """Fields that the JSON omits if they are None."""

    SHOWN: ClassVar[frozenset[str]] = frozenset()
    """Values of the JSON that `perennial run` prints."""

    outcome: Outcome

    def details(self) -> dict[str, JsonValue]:
        """Return the values to print, without empty ones."""
        return {name: value for name, value in self.to_json().items() if name in self.SHOWN and value not in (None, "", {}, [])}

    def to_json(self) -> dict[str, JsonValue]:
        """Return the result as JSON values."""
        values = asdict(self, dict_factory=_plain_values)
        return {name: value for name, value in values.items() if value is not None or name not in self.WHERE_KNOWN}


@dataclass(frozen=True, slots=True)
class Skipped(Result):
    """A skipped stage, with the reason."""

    WHERE_KNOWN: ClassVar[frozenset[str]] = frozenset({"date", "candidate"})
    SHOWN: ClassVar[frozenset[str]] = frozenset({"reason"})

    outcome: Outcome = Outcome.SKIPPED
    date: date | None = None
    candidate: str | None = None
    reason: str = ""


def _plain_values(fields: Iterable[tuple[str, Any]]) -> dict[str, JsonValue]:
    return {name: _plain(value) for name, value in fields}


def _plain(value: Any) -> Any:
    """Return a date as ISO text and an enum as its value: Airflow would store the names of their classes too."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value
