"""Torn rows: those with another number of cells than the header. Clean quarantines them, so few of them refuse no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from perennial.errors import RefusedError
from perennial.scaffold.files import File

MAX_SHARE = 0.05
"""Share of torn rows in a sample above which its files are refused."""

_MAX_EXAMPLES = 3
_MAX_DATES = 5


@dataclass(slots=True)
class Torn:
    """The torn rows of files: how many, the first by file and row, and how many are in the drop of each date."""

    rows: int = 0
    examples: list[str] = field(default_factory=list)
    days: Counter[date] = field(default_factory=Counter)

    def add(self, file: File, number: int, found: int, expected: int, day: date | None) -> None:
        """
        Count a row.

        :param number: the row's number in its file
        :param found: its cells
        :param day: the date of its drop, if it is known
        """
        self.rows += 1
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(f"{file.path}: row {number} has {found} cells, expected {expected} as in the header")
        if day is not None:
            self.days[day] += 1

    def require_few(self, whole: int) -> None:
        """Refuse files in which more rows are torn than clean quarantines; `whole` are the other rows."""
        if self.rows > MAX_SHARE * (self.rows + whole):
            raise RefusedError(
                f"{self.examples[0]}; {self.rows} of {self.rows + whole} rows of the sample are torn so, "
                f"at most {MAX_SHARE:.0%} may be",
                remedy="Mend these rows: a delimiter in a text needs quotes around the text, a row at the end may be cut off.",
            )

    def notes(self, whole: Mapping[date, int], max_share: float) -> list[str]:
        """
        Return what the user has to know.

        :param whole: the other rows by date
        :param max_share: the share of bad rows above which clean refuses a date (`max_quarantine_share`)
        """
        if not self.rows:
            return []
        more = f", and {self.rows - len(self.examples)} more" if self.rows > len(self.examples) else ""
        notes = [f"{'; '.join(self.examples)}{more}: clean sends torn rows to quarantine (rule cells)"]
        many = [day for day, rows in sorted(self.days.items()) if rows > max_share * (rows + whole.get(day, 0))]
        if many:
            shown = [f"{day} ({self.days[day]} of {self.days[day] + whole.get(day, 0)})" for day in many[:_MAX_DATES]]
            shown += [f"{len(many) - _MAX_DATES} more"] if len(many) > _MAX_DATES else []
            notes.append(
                f"dates with more torn rows than max_quarantine_share ({max_share}) allows: {', '.join(shown)}. "
                "Clean refuses these dates: mend the rows, or raise the share in pipeline.yaml"
            )
        return notes
