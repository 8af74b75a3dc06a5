"""Records of a request, checked field by field against the inputs of the release."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import TypeVar

from perennial.calendar import parse_date
from perennial.config.limits import MAX_NUMBER
from perennial.config.pipeline import Inputs
from perennial.errors import MAX_PROBLEMS_SHOWN, DateRefusedError, did_you_mean
from perennial.serve.limits import Limits
from perennial.serve.refusal import Refusal, quoted, shown, too_many_records
from perennial.store.json_value import JsonValue

T = TypeVar("T", float, str)
_EPOCH = date(1970, 1, 1).toordinal()
_MINUTES = {f"{hour:02}:{minute:02}": 60.0 * hour + minute for hour in range(24) for minute in range(60)}
_EXPECTED = {
    "number": "a finite number within the range of a 32-bit float",
    "time": 'a time such as "08:30"',
    "date": 'a date such as "2013-02-12"',
    "boolean": "true or false",
}


class _WrongValueError(Exception):
    """A value that is not of its field's type. The text for the client is built once all problems are known."""


class RecordReader:
    """Turns records into the numbers and texts of the graph, in the order of the pipeline's inputs."""

    def __init__(self, inputs: Inputs, limits: Limits) -> None:
        """Prepare one reader for each field, so that a record costs one call a field."""
        self._max_records = limits.records
        self._characters = limits.text_characters
        self._types = {name: field.type for name, field in inputs.request.items()}
        self._nullable = {name for name, field in inputs.request.items() if field.nullable}
        category = _category_reader(limits.text_characters)

        def reader(name: str, read: Callable[[JsonValue], T], null: T) -> tuple[str, Callable[[JsonValue], T]]:
            return name, _or_null(read, null) if name in self._nullable else read

        numbers = [name for name in inputs.numbers if name in inputs.request]
        self._numbers = [reader(name, _READERS[self._types[name]], math.nan) for name in numbers]
        self._texts = [reader(name, category, "") for name in inputs.texts]
        self._count = len(self._types)

    def read(self, records: JsonValue) -> tuple[list[list[float]], list[list[str]]]:
        """Return the request fields of each row of `numbers` and `texts`, or raise Refusal with at most ten problems."""
        records = self._check_list(records)
        count, number_fields, text_fields = self._count, self._numbers, self._texts
        numbers: list[list[float]] = []
        texts: list[list[str]] = []
        problems: list[str] = []
        for index, record in enumerate(records):
            try:
                if type(record) is dict and len(record) == count:
                    numbers.append([read(record[name]) for name, read in number_fields])
                    texts.append([read(record[name]) for name, read in text_fields])
                    continue
            except (KeyError, _WrongValueError):
                pass
            problems.extend(self._find_problems(index, record))
            if len(problems) >= MAX_PROBLEMS_SHOWN:
                break
        if problems:
            raise Refusal(422, "The records do not fit the inputs of the model", problems)
        return numbers, texts

    def _check_list(self, records: JsonValue) -> list[JsonValue]:
        if not isinstance(records, list):
            raise Refusal(422, f"Expected a list of records, found {shown(records)}. Write [{{…}}] for one record")
        if not records:
            raise Refusal(422, "The list of records is empty, expected at least one")
        if len(records) > self._max_records:
            raise too_many_records(len(records), self._max_records)
        return records

    def _find_problems(self, index: int, record: JsonValue) -> list[str]:
        """Return everything that is wrong with one record."""
        if not isinstance(record, dict):
            return [f"record {index}: expected an object of {self._count} fields, found {shown(record)}"]
        problems = []
        for name, read in [*self._numbers, *self._texts]:
            if name not in record:
                problems.append(f"record {index}: field '{name}' is missing, expected {self._describe_expected(name)}")
                continue
            try:
                read(record[name])
            except _WrongValueError:
                problems.append(
                    f"record {index}: field '{name}': expected {self._describe_expected(name)}, found {shown(record[name])}"
                )
        for name in record:
            if name not in self._types:
                near = did_you_mean(name[:80], self._types)
                problems.append(f"record {index}: unknown field {quoted(name)}.{near or ' Remove it.'}")
            if len(problems) >= MAX_PROBLEMS_SHOWN:
                break
        return problems

    def _describe_expected(self, name: str) -> str:
        of_type = _EXPECTED.get(self._types[name], f"a text of 1 to {self._characters} characters")
        return of_type + (" or null" if name in self._nullable else "")


def _number(value: JsonValue) -> float:
    """Read a number. `type` and not isinstance: True is an int in Python. NaN and 1e999 fail the comparison."""
    if (type(value) is float or type(value) is int) and -MAX_NUMBER <= value <= MAX_NUMBER:
        return float(value)
    raise _WrongValueError


def _time(value: JsonValue) -> float:
    if type(value) is str and value in _MINUTES:
        return _MINUTES[value]
    raise _WrongValueError


def _boolean(value: JsonValue) -> float:
    if value is True or value is False:
        return float(value)
    raise _WrongValueError


def _date(value: JsonValue) -> float:
    if type(value) is str and len(value) == len("2013-02-12"):
        return _days(value)
    raise _WrongValueError


@lru_cache(maxsize=1024)
def _days(text: str) -> float:
    try:
        return float(parse_date(text).toordinal() - _EPOCH)
    except DateRefusedError:
        raise _WrongValueError from None


def _category_reader(max_characters: int) -> Callable[[JsonValue], str]:
    def category(value: JsonValue) -> str:
        if type(value) is str and 0 < len(value) <= max_characters and (value.isascii() or _is_unicode(value)):
            return value
        raise _WrongValueError

    return category


def _is_unicode(text: str) -> bool:
    """Return whether a text can be encoded. JSON escapes allow half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _or_null(read: Callable[[JsonValue], T], null: T) -> Callable[[JsonValue], T]:
    def read_or_null(value: JsonValue) -> T:
        return null if value is None else read(value)

    return read_or_null


_READERS: dict[str, Callable[[JsonValue], float]] = {"number": _number, "time": _time, "date": _date, "boolean": _boolean}
