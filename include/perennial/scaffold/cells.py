"""The types of a contract, as Python reads them: a text that this module reads is read by the clean job, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from perennial.config.date_format import LONE_DIGIT, read_format

Value = int | float | bool | date | datetime | str

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?")  # linear in the length of a cell
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")  # Python's dates begin with the year 1, as the contract's do
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_OFFSET = "Z|[+-](0[0-9]|1[0-7])(:?[0-5][0-9])?|[+-]18(:?00)?"  # Java knows no others
_TIMESTAMP = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,9}})?)?({_OFFSET})?")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_GROUP = re.compile(r"\$([0-9])")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]+")


def infer_type(texts: Collection[str], decimal: str = ".") -> str:
    """Return the narrowest type that reads each of the texts. Numbers with leading zeros are texts: they are codes."""
    if texts and not any(_LEADING_ZERO.fullmatch(text) for text in texts):
        for kind in ("integer", "double"):
            if all(read_cell(kind, text, decimal) is not None for text in texts):
                return kind
    for kind in ("boolean", "date", "time", "timestamp"):
        if texts and all(read_cell(kind, text, decimal) is not None for text in texts):
            return kind
    return "string"


def read_cell(kind: str, text: str, decimal: str = ".") -> Value | None:
    """Return the value of a cell, or None if the text is not exactly of the type."""
    if kind == "double" and decimal == ",":
        text = text.replace(",", ".") if "." not in text else ""
    try:
        return _READERS[kind](text)
    except ValueError:  # the 30th of February
        return None


def iso_text(text: str, date_format: str | None) -> str | None:
    """Return the text of a date or timestamp in ISO 8601, or None if it is not of the format. It may be no calendar date."""
    if date_format is None:
        return text
    form = read_format(date_format)
    if (found := re.fullmatch(form.pattern, text)) is None:
        return None
    iso = re.sub(LONE_DIGIT, r"0\1", _GROUP.sub(lambda group: found[int(group[1])], form.iso))
    if form.mark is None:
        return iso
    hour = int(iso[11:13]) % 12 + 12 * (found[form.mark].lower() == "pm")
    return f"{iso[:11]}{hour:02}{iso[13:]}"


def local_date(kind: str, text: str, zone: ZoneInfo) -> date | None:
    """
    Return the local date of a cell of type date or timestamp, or None if it is outside the years 1 to 9999.

    A timestamp without an offset is local time.
    """
    value = read_cell(kind, text)
    if isinstance(value, datetime):
        try:
            return value.astimezone(zone).date() if value.tzinfo is not None else value.date()
        except OverflowError:
            return None
    return value if isinstance(value, date) else None


def is_skipped(text: str, zone: ZoneInfo) -> bool:
    """Return whether a timestamp is a local time that does not happen, as clocks are set forward: clean cannot read it."""
    value = read_cell("timestamp", text)
    if not isinstance(value, datetime) or value.tzinfo is not None or not 1 < value.year < 9999:
        return False
    return value.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != value


def is_repeated(text: str, zone: ZoneInfo) -> bool:
    """Return whether a timestamp is a local time that happens twice, as clocks are set back."""
    value = read_cell("timestamp", text)
    if not isinstance(value, datetime) or value.tzinfo is not None or is_skipped(text, zone):
        return False
    return zone.utcoffset(value) != zone.utcoffset(value.replace(fold=1))


def _integer(text: str) -> int | None:
    value = int(text) if _INTEGER.fullmatch(text) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _double(text: str) -> float | None:
    value = float(text) if _DOUBLE.fullmatch(text) else None
    return value if value is not None and abs(value) < float("inf") else None


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if _DATE.fullmatch(text) else None


def _time(text: str) -> int | None:
    return int(text[:2]) * 60 + int(text[3:]) if _TIME.fullmatch(text) else None


def _timestamp(text: str) -> datetime | None:
    value = datetime.fromisoformat(text) if _TIMESTAMP.fullmatch(text) else None
    if value is not None and value.tzinfo is not None:
        try:
            value.astimezone(UTC)
        except OverflowError:  # outside the years 1 to 9999 in UTC
            return None
    return value


_READERS: dict[str, Callable[[str], Value | None]] = {
    "string": lambda text: text,
    "integer": _integer,
    "double": _double,
    "boolean": lambda text: _BOOLEANS.get(text.lower()),
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
}
