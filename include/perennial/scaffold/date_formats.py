"""The formats that read all texts of a column as dates, found by the shape of the texts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date

from perennial.config.date_format import LITERALS, MAX_FRACTION, MAX_LENGTH, read_format
from perennial.config.values import FIRST_DAY, LAST_DAY
from perennial.scaffold.cells import iso_text, read_cell

_ORDERS = ("dMy", "Mdy", "yMd")
_COMPACT = {8: ("yyyyMMdd", "ddMMyyyy", "MMddyyyy"), 12: ("yyyyMMddHHmm",), 14: ("yyyyMMddHHmmss",)}
"""By the number of digits that follow each other."""

_COMPACT_TIMES = {4: "HHmm", 6: "HHmmss"}
_RUN = re.compile(r"[0-9]+|[^0-9]+")
_MARK = re.compile(r" ?[AaPp][Mm]\Z")
_MAX_SPREAD = 10
_DECADES = 7300
"""Twenty years, in days."""

_MIN_COMPACT = 2
"""Different texts without a sign between the fields from which on they may be dates, and no numbers."""


def find_formats(texts: Collection[str], wanted: str | None = None) -> tuple[str, ...]:
    """
    Return the formats that read each of the texts.

    :param wanted: the user's format; its order of day, month and year decides where several read the texts
    """
    if not texts:
        return ()
    if wanted is not None and reads(wanted, texts):
        return (wanted,)
    found = _by_place_of_the_year([form for form in _guess(texts) if len(form) <= MAX_LENGTH and reads(form, texts)], texts)
    if wanted is not None and len(found) > 1:
        order = read_format(wanted).order
        return tuple(form for form in found if read_format(form).order == order) or found
    return found


def _by_place_of_the_year(forms: Sequence[str], texts: Collection[str]) -> tuple[str, ...]:
    """
    Drop the formats that take a day for a year of two digits, or the reverse.

    Their dates are spread over decades, and over more than ten times as many days as those of the others.
    """
    days: dict[bool, list[int]] = {}
    for form in forms:
        values = sorted(iso_text(text, form) or "" for text in texts)
        first, last = (date.fromisoformat(text[:10]) for text in (values[0], values[-1]))
        days.setdefault(read_format(form).order == "yMd", []).append((last - first).days)
    if len(days) < 2:
        return tuple(forms)
    best, worst = sorted(days, key=lambda is_first: min(days[is_first]))
    if min(days[worst]) <= max(_DECADES, min(days[best]) * _MAX_SPREAD):
        return tuple(forms)
    return tuple(form for form in forms if (read_format(form).order == "yMd") is best)


def reads(form: str, texts: Collection[str]) -> bool:
    """Return whether a format reads each text. Texts of digits alone may be numbers, so their dates are a pipeline's."""
    kind, is_compact = read_format(form).kind, form.isalpha()
    if is_compact and len(texts) < _MIN_COMPACT:
        return False
    for text in texts:
        iso = iso_text(text, form)
        value = None if iso is None else read_cell(kind, iso)
        if not isinstance(value, date) or (is_compact and not FIRST_DAY.year <= value.year <= LAST_DAY.year):
            return False
    return True


def _guess(texts: Collection[str]) -> Iterator[str]:
    """Yield the formats that have the shape of the texts: the same signs between digits, and as many digits."""
    if any(len(text) > MAX_LENGTH or text[0] not in "0123456789" for text in texts):
        return
    marks = {match.group()[:-2] + "a" if (match := _MARK.search(text)) else "" for text in texts}
    rows = [_RUN.findall(_MARK.sub("", text)) for text in texts]
    if len(marks) > 1 or len({len(row) for row in rows}) > 1:
        return
    columns = list(zip(*rows, strict=True))
    digits, signs = columns[::2], [set(column) for column in columns[1::2]]
    if any(len(found) > 1 for found in signs):
        return
    between = ["'T'" if sign == "T" else sign for found in signs for sign in found]
    if not all(sign == "'T'" or all(char in LITERALS for char in sign) for sign in between):
        return
    between += [""] * (len(digits) - len(between))
    (mark,) = marks
    for fields in _guess_fields(digits, has_mark=bool(mark)):
        yield "".join(field + sign for field, sign in zip(fields, between, strict=True)) + mark


def _guess_fields(digits: Sequence[Sequence[str]], *, has_mark: bool) -> Iterator[list[str]]:
    """Yield the fields that runs of digits may be: the date first, then the time."""
    widths = {len(run) for run in digits[0]}
    for compact in _COMPACT.get(max(widths), ()) if len(widths) == 1 else ():
        if (time := _guess_time(digits[1:], has_mark=has_mark)) is not None:
            yield [compact, *time]
    time = _guess_time(digits[3:], has_mark=has_mark)
    if len(digits) < 3 or time is None:
        return
    for order in _ORDERS:
        runs = dict(zip(order, digits, strict=False))
        years = {len(run) for run in runs["y"]}
        others = [*runs["d"], *runs["M"]]
        if years in ({2}, {4}) and max(map(len, others)) <= 2:
            width = _width(others)
            yield ["y" * max(years) if letter == "y" else letter * width for letter in order] + time


def _guess_time(digits: Sequence[Sequence[str]], *, has_mark: bool) -> list[str] | None:
    """Return the fields of a time of day, an empty list for none, or None if the digits are no time."""
    if not digits:
        return None if has_mark else []
    widths = [{len(run) for run in runs} for runs in digits]
    if len(digits) == 1:
        compact = _COMPACT_TIMES.get(max(widths[0])) if len(widths[0]) == 1 and not has_mark else None
        return [compact] if compact else None
    if len(digits) > 4 or max(widths[0]) > 2 or any(found != {2} for found in widths[1:3]):
        return None
    fields = [("h" if has_mark else "H") * _width(digits[0]), "mm", "ss"][: len(digits)]
    if len(digits) == 4:
        fields.append("S" * min(MAX_FRACTION, max(widths[3])))
    return fields


def _width(runs: Sequence[str]) -> int:
    """Return 2 if a zero precedes the only digit; 1, which reads one and two digits, where no zero does or none has to."""
    return 1 if any(len(run) == 1 for run in runs) or not any(run[0] == "0" for run in runs) else 2
