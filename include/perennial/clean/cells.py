"""Exact conversion of a cell's text to a typed value: a text that is not clearly of the type gives null and can be refused."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from perennial.config.date_format import LONE_DIGIT, read_format

# \z instead of $, which would accept a trailing line break.
_INTEGER = r"\A[+-]?[0-9]{1,19}\z"
# Possessive quantifiers: a cell may have 131,072 characters, and backtracking over its digits takes the square of that.
_DOUBLE = r"\A[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?\z"
_TIME = r"\A([01][0-9]|2[0-3]):[0-5][0-9]\z"
_DAY = "(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}"
"""Four digits: later years are not read, and the year 0 is not one of Python's."""
_DATE = rf"\A{_DAY}\z"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_OFFSET = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_LOCAL = rf"\A{_DAY}[T ]{_CLOCK}\z"
_MOMENT = rf"\A{_DAY}[T ]{_CLOCK}{_OFFSET}\z"
_FIRST_MOMENT = "greatest(TIMESTAMP '0001-01-01 00:00:00Z', TIMESTAMP '0001-01-01 00:00:00')"
_LAST_MOMENT = "least(TIMESTAMP '9999-12-31 23:59:59.999999Z', TIMESTAMP '9999-12-31 23:59:59.999999')"
"""
Python's datetime has these bounds, in UTC and in the session's zone: CAST(ts AS DATE) gives the local day.

Spark computes them once, when it plans the query.
"""


def present(text: Column, null_text: str | None) -> Column:
    """Return the text of a cell, or null for an empty cell and for the text that means null."""
    absent = text == "" if null_text is None else text.isin("", null_text)
    return F.when(~absent, text)


def typed(kind: str, text: Column, decimal: str = ".", date_format: str | None = None) -> Column:
    """
    Return the value of a cell's text, or null if the text is not exactly of the type.

    :param decimal: the sign before the fraction of a double
    :param date_format: the form of the texts of a date or timestamp; None: ISO 8601
    """
    if date_format is not None:
        text = _iso(text, date_format)
    return _double(text, decimal) if kind == "double" else _READERS[kind](text)


def _integer(text: Column) -> Column:
    return F.when(text.rlike(_INTEGER), text.try_cast("bigint"))


def _double(text: Column, decimal: str) -> Column:
    if decimal == ",":
        # A point, which is no decimal sign here, becomes a text that is no number.
        text = F.translate(text, ",.", ".,")
    value = F.when(text.rlike(_DOUBLE), text.try_cast("double"))
    return F.when(F.abs(value) < float("inf"), value)


def _boolean(text: Column) -> Column:
    lower = F.lower(text)
    return F.when(lower.isin("true", "1"), F.lit(True)).when(lower.isin("false", "0"), F.lit(False))


def _date(text: Column) -> Column:
    return F.when(text.rlike(_DATE), text.try_cast("date"))


def _iso(text: Column, date_format: str) -> Column:
    """Return the text of a date or timestamp in ISO 8601, or null if it is not of the format. It may be no calendar date."""
    form = read_format(date_format)
    pattern = rf"\A{form.pattern}\z"
    iso = F.regexp_replace(F.regexp_replace(text, pattern, form.iso), LONE_DIGIT, "0$1")
    if form.mark is not None:
        is_pm = F.lower(F.regexp_extract(text, pattern, form.mark)) == "pm"
        hour = F.substring(iso, 12, 2).try_cast("int") % 12 + F.when(is_pm, 12).otherwise(0)
        iso = F.concat(F.substring(iso, 1, 11), F.lpad(hour.cast("string"), 2, "0"), F.substring(iso, 14, 40))
    return F.when(text.rlike(pattern), iso)


def _time(text: Column) -> Column:
    minutes = F.substring(text, 1, 2).try_cast("int") * 60 + F.substring(text, 4, 2).try_cast("int")
    return F.when(text.rlike(_TIME), minutes)


def _timestamp(text: Column) -> Column:
    """
    Return a moment. A text without an offset is local time of the session's zone, which is the pipeline's.

    When clocks are set back, a local time happens twice, and the first one is meant. When they are set forward, the local
    times between do not happen, and are not of the type.
    """
    # Spark's parser requires seconds before an offset.
    full = F.regexp_replace(text, r"([T ][0-9]{2}:[0-9]{2})(Z|[+-])", "$1:00$2")
    with_offset = F.when(text.rlike(_MOMENT), full.try_cast("timestamp"))
    clock = F.when(text.rlike(_LOCAL), text.try_cast("timestamp_ntz"))
    local = clock.cast("timestamp")
    value = F.coalesce(with_offset, F.when(local.cast("timestamp_ntz") == clock, local))
    return F.when(value.between(F.expr(_FIRST_MOMENT), F.expr(_LAST_MOMENT)), value)


_READERS: dict[str, Callable[[Column], Column]] = {
    "string": lambda text: text,
    "integer": _integer,
    "boolean": _boolean,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
}
