"""Derived inputs: a small closed set of functions of request fields and lookup values. Parsed here, computed in the graph."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from perennial.errors import did_you_mean

_CALL = re.compile(r"\s*([a-z_]+)\s*\(([^()]*)\)\s*")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Function(NamedTuple):
    """
    The arguments of a function.

    :param of: type that its request fields must have; None: any numeric type. The values of lookups have no type of their own
    """

    columns: int
    of: str | None = None
    takes_dates: bool = False


FUNCTIONS = {
    "minute_of_day": Function(1, of="time"),  # minutes since midnight
    "hour_of_day": Function(1, of="time"),  # 0 to 23
    "weekday": Function(1, of="date"),  # 0 is Monday
    "minutes_between": Function(2, of="time"),  # from the first to the second, across midnight if that is earlier: 0 to 1439
    "difference": Function(2),  # first minus second
    "ratio": Function(2),  # first divided by second; null where the second is 0
    "is_missing": Function(1),  # 1 where null, else 0
    "days_to_nearest": Function(1, of="date", takes_dates=True),  # days to the nearest of the dates that follow
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
    columns, _, takes_dates = FUNCTIONS[function]
    if not takes_dates:
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
