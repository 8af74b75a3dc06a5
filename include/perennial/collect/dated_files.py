"""Local files by date: a pattern such as `exports/{date}.csv.gz` names the files of many dates."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from perennial.collect.landing import may_be_data
from perennial.config.values import FIRST_DAY, LAST_DAY
from perennial.errors import RefusedError

NO_DATE = "its name has no date"
_TOKEN = re.compile(r"\{date(?::([^{}]*))?\}")
_PARTS = {"%Y": "[0-9]{4}", "%m": "[0-9]{2}", "%d": "[0-9]{2}"}
_ISO = "%Y-%m-%d"


@dataclass(slots=True)
class DatedFiles:
    """The files of each date, in order; `ignored` has the reason by path that matches the pattern and is not used."""

    by_date: dict[date, list[Path]] = field(default_factory=dict)
    ignored: dict[Path, str] = field(default_factory=dict)


def is_pattern(text: str) -> bool:
    """Return whether a text is meant as a pattern of dated files."""
    return "{" in text or "*" in text


def find_dated_files(pattern: str) -> DatedFiles:
    """
    Return the files that a pattern names, by date; refuse names in which `{date}` fits two dates.

    `{date}` is a date YYYY-MM-DD; `{date:%Y%m%d}` gives it another form. `*` and `?` match within one name.
    Beside a wildcard, a date is not a part of a longer number.
    If `{date}` is in the pattern twice, both must be the same date.
    Names that begin with `_` or `.` are passed over, as writers of data mark their own files so.
    """
    forms = _read_forms(pattern)
    pieces = _TOKEN.split(pattern)[::2]
    wildcards = "".join(_to_wildcard(piece) + any_text for piece, any_text in zip(pieces, [*map(_any, forms), ""], strict=True))
    # The first and the last place where the date fits.
    expressions = [_to_expression(pieces, forms, any_text) for any_text in ("[^/]*?", "[^/]*")]
    files, unclear = DatedFiles(), []
    for name in sorted(glob.glob(wildcards)):
        path = Path(name)
        if not may_be_data(path.name):
            continue
        matches = [match for expression in expressions if (match := expression.fullmatch(name))]
        dates = {day for match in matches if (day := _read_date(match.groups(), forms))}
        likely = {day for day in dates if FIRST_DAY <= day <= LAST_DAY}
        if reason := no_file(path):
            files.ignored[path] = reason
        elif not likely:
            files.ignored[path] = f"its date is not within {FIRST_DAY} to {LAST_DAY}" if dates else NO_DATE
        elif len(likely) > 1:
            unclear.append(f"{path} has {' and '.join(map(str, sorted(likely)))}")
        else:
            files.by_date.setdefault(likely.pop(), []).append(path)
    if unclear:
        raise RefusedError(
            f"The pattern {pattern!r} fits two dates of a name",
            unclear,
            "Write the text between them into the pattern, such as 'exports/{date}_*.csv'.",
        )
    files.by_date = dict(sorted(files.by_date.items()))
    return files


def no_file(path: Path) -> str | None:
    """Return why a path is not a file that can be read, or None."""
    if path.is_file():
        return None
    return "it is a folder" if path.is_dir() else "it is no file" if path.exists() else "it is a link to nothing"


def _read_forms(pattern: str) -> list[str]:
    """Return the form of each `{date}` of a pattern, or refuse the pattern."""
    forms = [form or _ISO for form in _TOKEN.findall(pattern)]
    wrong = [form for form in forms if sorted(re.findall("%.?", form)) != sorted(_PARTS)]
    if wrong or not forms or re.search("[{}]", _TOKEN.sub("", pattern)):
        raise RefusedError(
            f"The pattern {pattern!r}: expected {{date}} in it, found {wrong[0] if wrong else 'none, or other braces'!r}",
            remedy="Write {date} for YYYY-MM-DD, or its form with %Y, %m and %d once each, such as {date:%Y%m%d}, in quotes.",
        )
    return forms


def _to_expression(pieces: Sequence[str], forms: Sequence[str], any_text: str) -> re.Pattern[str]:
    text = ""
    for place, form in enumerate(forms):
        group = "(" + re.sub("%[Ymd]", lambda part: _PARTS[part[0]], re.escape(form)) + ")"
        before = "(?<![0-9])" if pieces[place].endswith(("*", "?")) else ""
        after = "(?![0-9])" if pieces[place + 1].startswith(("*", "?")) else ""
        text += _escape(pieces[place], any_text) + before + group + after
    return re.compile(text + _escape(pieces[-1], any_text))


def _escape(piece: str, any_text: str) -> str:
    return re.escape(piece).replace(r"\*", any_text).replace(r"\?", "[^/]")


def _any(form: str) -> str:
    return "/".join("*" for _ in form.split("/"))


def _to_wildcard(piece: str) -> str:
    return glob.escape(piece).replace("[*]", "*").replace("[?]", "?")


def _read_date(texts: Sequence[str], forms: Sequence[str]) -> date | None:
    """Return the one date that all texts give, or None."""
    try:
        dates = {datetime.strptime(text, form).date() for text, form in zip(texts, forms, strict=True)}
    except ValueError:
        return None
    return dates.pop() if len(dates) == 1 else None
