"""Whether a date's rows are good enough to accept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perennial.store.json_value import JsonValue

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One row that broke a rule, for the person who must mend the feed."""

    file: str
    position: int
    column: str
    rule: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a date was refused: what was read, what broke which rule, and how much would have been allowed."""

    rows: int
    expected_rows: int
    quarantined: int
    max_quarantine_share: float
    rules: dict[str, int]
    examples: tuple[Example, ...] = ()

    def cause(self) -> str:
        """Return the cause in one line."""
        if self.rows != self.expected_rows:
            return f"Spark read {self.rows} rows, collect counted {self.expected_rows}"
        share, most = 100 * self.quarantined / self.rows, 100 * self.max_quarantine_share
        return f"{self.quarantined} of {self.rows} rows break the contract ({share:.1f} %), allowed are {most:.1f} %"

    def rule_causes(self) -> list[str]:
        """Return the rules that alone would refuse the date, or all when only together they do, without numbers: many dates share them."""
        most = self.max_quarantine_share * self.rows
        alone = [rule for rule, count in sorted(self.rules.items()) if count > most]
        return [f"too many rows break {rule!r}" for rule in alone or sorted(self.rules)]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form."""
        return {"format": 1, **asdict(self)}


def read_refusal(stored: Mapping[str, Any]) -> Refusal:
    """Return a stored refusal."""
    fields = {name: value for name, value in stored.items() if name not in {"format", "examples"}}
    return Refusal(**fields, examples=tuple(Example(**item) for item in stored["examples"]))


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows of a date break one rule; column and rule None: break none."""

    column: str | None
    rule: str | None
    rows: int


def rule_name(column: str | None, rule: str) -> str:
    """Return how a refusal names a rule of a column, or of the row as a whole."""
    return f"{column or 'row'} {rule}"


def judge(counts: Sequence[Count], expected_rows: int, max_quarantine_share: float) -> tuple[int, Refusal | None]:
    """Return the number of rows to quarantine, and the refusal when there are too many (or rows are missing)."""
    rows = sum(count.rows for count in counts)
    broken = {rule_name(count.column, count.rule): count.rows for count in counts if count.rule is not None}
    quarantined = sum(broken.values())
    if rows == expected_rows and quarantined <= max_quarantine_share * rows:
        return quarantined, None
    return quarantined, Refusal(rows, expected_rows, quarantined, max_quarantine_share, broken)
