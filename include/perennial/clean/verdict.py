"""The decision to accept or refuse a date for its rows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perennial.store.json_value import JsonValue

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One row that broke a rule, for the person who must fix the feed."""

    file: str
    position: int
    column: str
    rule: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a date was refused: rows read and expected, rows that broke each rule, and the allowed share."""

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
        share, allowed = 100 * self.quarantined / self.rows, 100 * self.max_quarantine_share
        return f"{self.quarantined} of {self.rows} rows break the contract ({share:.1f} %, allowed {allowed:.1f} %)"

    def rule_causes(self) -> list[str]:
        """
        Return the rules that would each refuse the date alone, or all rules if only their sum refuses it.

        The texts hold no numbers, so that many dates can share them.
        """
        max_rows = self.max_quarantine_share * self.rows
        sufficient = [rule for rule, count in sorted(self.rules.items()) if count > max_rows]
        return [f"too many rows break {rule!r}" for rule in sufficient or sorted(self.rules)]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form."""
        return {"format": 1, **asdict(self)}


def read_refusal(stored: Mapping[str, Any]) -> Refusal:
    """Return a stored refusal."""
    fields = {name: value for name, value in stored.items() if name not in {"format", "examples"}}
    return Refusal(**fields, examples=tuple(Example(**item) for item in stored["examples"]))


@dataclass(frozen=True, slots=True)
class Count:
    """The number of rows of a date that break one rule; if column and rule are None, that break none."""

    column: str | None
    rule: str | None
    rows: int


def rule_name(column: str | None, rule: str) -> str:
    """Return the name that a refusal gives to a rule of a column, or of the whole row."""
    return f"{column or 'row'} {rule}"


def judge(counts: Sequence[Count], expected_rows: int, max_quarantine_share: float) -> tuple[int, Refusal | None]:
    """
    Return the number of rows to quarantine, and a refusal if there are too many or rows are missing.

    Several counts of one rule, such as those of several files, add up.
    """
    rows = sum(count.rows for count in counts)
    broken: Counter[str] = Counter()
    for count in counts:
        if count.rule is not None:
            broken[rule_name(count.column, count.rule)] += count.rows
    quarantined = sum(broken.values())
    if rows == expected_rows and quarantined <= max_quarantine_share * rows:
        return quarantined, None
    return quarantined, Refusal(rows, expected_rows, quarantined, max_quarantine_share, dict(broken))
