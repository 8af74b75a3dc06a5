"""The format of a column's dates: a few fields in Spark's notation, read strictly. Its text is never SQL or a pattern."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

LITERALS = ("'T'", *"./-:,_ ")
"""The texts between fields. As in Spark, a letter is in quotes."""

LONE_DIGIT = "(?<![0-9.])([0-9])(?![0-9])"
"""A month, a day or an hour of one digit in the text that `DateFormat.iso` gives: a zero is missing before it."""

MAX_LENGTH = 40
MAX_FRACTION = 9
_PATTERNS = {
    "yyyy": "[0-9]{4}",
    "yy": "[0-9]{2}",
    **dict.fromkeys(("M", "d", "H"), "[0-9]{1,2}"),
    **dict.fromkeys(("MM", "dd", "HH", "mm", "ss"), "[0-9]{2}"),
    "h": "0?[1-9]|1[0-2]",
    "hh": "0[1-9]|1[0-2]",
    "a": "[AaPp][Mm]",
    # As in Spark, a fraction has at most so many digits.
    **{"S" * count: f"[0-9]{{1,{count}}}" for count in range(1, MAX_FRACTION + 1)},
}
_NAMES = {"y": "year", "M": "month", "d": "day", "m": "minute", "s": "second", "S": "fraction", "a": "AM or PM"} | dict.fromkeys(
    "Hh", "hour"
)
_HAVE_ONE_OR_TWO = {"M", "d", "H", "h"}
_TOKEN = re.compile(r"'T'|([A-Za-z])\1*|.", re.DOTALL)
_REMEDY = "Write it with yyyy, yy, MM, M, dd, d, HH, H, hh, h, mm, ss, SSS and a, such as dd.MM.yyyy"
_REPAIRS = {
    **{"%Y": "yyyy", "%y": "yy", "%m": "MM", "%d": "dd", "%H": "HH", "%I": "hh", "%M": "mm", "%S": "ss", "%p": "a"},
    **{"YYYY": "yyyy", "YY": "yy", "DD": "dd", "HH24": "HH", "MI": "mm"},
}
"""Fields of strftime and of other databases."""


@dataclass(frozen=True, slots=True)
class DateFormat:
    """
    A format that was checked.

    :ivar fields: its fields in their order
    :ivar pattern: a regular expression of the whole text, in the words that Python's and Java's have in common
    :ivar iso: the text in ISO 8601, with $1 for the first group; a month, a day or an hour may have one digit,
        and an hour with AM or PM is not yet one of 24
    :ivar mark: the number of the group with AM or PM, or None
    """

    fields: tuple[str, ...]
    pattern: str
    iso: str
    mark: int | None

    @property
    def kind(self) -> str:
        """Return the type of a column that it reads."""
        return "timestamp" if len(self.fields) > 3 else "date"

    @property
    def order(self) -> str:
        """Return the order of day, month and year, such as dMy."""
        return "".join(field[0] for field in self.fields if field[0] in "dMy")


@cache
def read_format(text: str) -> DateFormat:
    """Read a format; raise a ValueError that names each problem, and the format that is probably meant."""
    parts = _divide(text)
    if problems := list(_find_problems(parts)):
        meant = _repair(text)
        raise ValueError(f"{'; '.join(problems)}, found {text!r}. {f'Did you mean {meant!r}?' if meant else _REMEDY}")
    fields = [part for part in parts if part in _PATTERNS]
    group = {_NAMES[field[0]]: f"${number}" for number, field in enumerate(fields, 1)}
    century = "20" if "yy" in fields else ""
    iso = f"{century}{group['year']}-{group['month']}-{group['day']}"
    if "hour" in group:
        iso += f" {group['hour']}:{group['minute']}:{group.get('second', '00')}"
        iso += f".{group['fraction']}" if "fraction" in group else ""
    pattern = "".join(f"({_PATTERNS[part]})" if part in _PATTERNS else f"[{part.strip(chr(39))}]" for part in parts)
    return DateFormat(tuple(fields), pattern, iso, fields.index("a") + 1 if "a" in fields else None)


def _divide(text: str) -> list[str]:
    return [match.group() for match in _TOKEN.finditer(text)]


def _find_problems(parts: Sequence[str]) -> Iterator[str]:
    unknown = [part for part in dict.fromkeys(parts) if part not in _PATTERNS and part not in LITERALS]
    for part in unknown:
        yield f"{part!r} is no part of a format" + (" (names of months are not read)" if part.startswith("MMM") else "")
    if unknown:
        return
    counts = Counter(_NAMES[part[0]] for part in parts if part in _PATTERNS)
    yield from (f"it has the {name} {count} times" for name, count in counts.items() if count > 1)
    needed = ["year", "month", "day"]
    if counts.keys() - {*needed}:
        needed += ["hour", "minute"]
        needed += ["second"] if "fraction" in counts else []
        needed += ["AM or PM"] if "h" in parts or "hh" in parts else []
    if missing := [name for name in needed if name not in counts]:
        yield f"it lacks the {', the '.join(missing)}" + (" (M is the month, m the minute)" if "month" in missing else "")
    if "AM or PM" in counts and ("H" in parts or "HH" in parts):
        yield "the hour with AM or PM is h or hh"
    for pair in pairwise(parts):
        if "a" not in pair and all(part in _PATTERNS for part in pair) and any(map(_is_variable, pair)):
            yield f"{' and '.join(pair)} need a sign between them: the number of digits varies"


def _is_variable(part: str) -> bool:
    return part in _HAVE_ONE_OR_TWO or part[0] == "S"


def _repair(text: str) -> str | None:
    """Return the format that is probably meant, or None."""
    for old, new in _REPAIRS.items():
        text = text.replace(old, new)
    text = re.sub("(?<!S)SS(?!S)", "ss", text)
    return next((meant for meant in (text, text.replace("mm", "MM", 1)) if not list(_find_problems(_divide(meant)))), None)
