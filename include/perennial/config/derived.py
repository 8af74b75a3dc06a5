"""Derived inputs: a small closed set of functions of request fields and lookup values. Parsed here, computed in the graph."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from perennial.errors import did_you_mean

_CALL = re.compile(r"\s*([a-z_]+)\s*\(([^()]*)\)\s*")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# name: (number of columns, kind of the constants or None)
FUNCTIONS: dict[str, tuple[int, str | None]] = {
    "minute_of_day": (1, None),  # of a time: minutes since midnight
    "hour_of_day": (1, None),  # of a time: 0 to 23
    "weekday": (1, None),  # of a date: 0 is Monday
    "minutes_between": (2, None),  # from the first time to the second, across midnight if the second is earlier: 0 to 1439
    "difference": (2, None),  # first minus second
    "ratio": (2, None),  # first divided by second; null where the second is 0
    "is_missing": (1, None),  # 1 where null, else 0
    "days_to_nearest": (1, "dates"),  # of a date: days to the nearest of the dates that follow
}


@dataclass(frozen=True, slots=True)
class Derived:
    """One derived input: the function, the columns it takes, and its constants."""

    function: str
    columns: tuple[str, ...]
    dates: tuple[date, ...] = ()


def parse_derived(text: str) -> Derived:
    """Parse `function(column, …)`; raise a ValueError that names what is allowed."""
    call = _CALL.fullmatch(text)
    if call is None:
        raise ValueError(f"{text!r} is not of the form function(column, …)")
    function = call.group(1)
    if function not in FUNCTIONS:
        raise ValueError(
            f"unknown function {function!r}; the functions are {', '.join(FUNCTIONS)}.{did_you_mean(function, FUNCTIONS)}"
        )
    args = [arg.strip() for arg in call.group(2).split(",")] if call.group(2).strip() else []
    columns, constants = FUNCTIONS[function]
    if constants is None:
        if len(args) != columns:
            raise ValueError(f"{function} takes {columns} columns, found {len(args)}")
        return Derived(function, tuple(args))
    if len(args) <= columns:
        raise ValueError(f"{function} takes {columns} columns and at least one date")
    return Derived(function, tuple(args[:columns]), tuple(_date(arg) for arg in args[columns:]))


def _date(text: str) -> date:
    try:
        if _ISO_DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"expected a calendar date, YYYY-MM-DD, found {text!r}")
