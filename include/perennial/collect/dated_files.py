"""Local files by date: a pattern such as `exports/{date}.csv.gz` names the files of many dates."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from perennial.collect.landing import may_be_data
from perennial.errors import RefusedError

_TOKEN = re.compile(r"\{date(?::([^{}]*))?\}")
_PARTS = {"%Y": "[0-9]{4}", "%m": "[0-9]{2}", "%d": "[0-9]{2}"}
_ISO = "%Y-%m-%d"


@dataclass(slots=True)
class DatedFiles:
    """The files of each date, in order; `ignored` match the pattern, but where `{date}` is they have another text."""

    by_date: dict[date, list[Path]] = field(default_factory=dict)
    ignored: list[Path] = field(default_factory=list)


def is_pattern(text: str) -> bool:
    """Return whether a text is meant as a pattern of dated files."""
    return "{" in text or "*" in text


def find_dated_files(pattern: str) -> DatedFiles:
    """
    Return the files that a pattern names, by date.

    `{date}` is a date YYYY-MM-DD; `{date:%Y%m%d}` gives it another form. `*` and `?` match within one name.
    If `{date}` is in the pattern twice, both must be the same date.
    Names that begin with `_` or `.` are passed over, as writers of data mark their own files so.
    """
    forms = _read_forms(pattern)
    pieces = _TOKEN.split(pattern)[::2]
    groups = [*map(_group, forms), ""]
    expression = re.compile("".join(_to_expression(piece) + group for piece, group in zip(pieces, groups, strict=True)))
    wildcards = "".join(_to_wildcard(piece) + any_text for piece, any_text in zip(pieces, [*map(_any, forms), ""], strict=True))
    files = DatedFiles()
    for path in sorted(glob.glob(wildcards)):
        match = expression.fullmatch(path)
        if not Path(path).is_file() or not may_be_data(Path(path).name):
            continue
        day = _read_date(match.groups(), forms) if match else None
        if day is None:
            files.ignored.append(Path(path))
        else:
            files.by_date.setdefault(day, []).append(Path(path))
    files.by_date = dict(sorted(files.by_date.items()))
    return files


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


def _group(form: str) -> str:
    return "(" + re.sub("%[Ymd]", lambda part: _PARTS[part[0]], re.escape(form)) + ")"


def _any(form: str) -> str:
    return "/".join("*" for _ in form.split("/"))


def _to_wildcard(piece: str) -> str:
    return glob.escape(piece).replace("[*]", "*").replace("[?]", "?")


def _to_expression(piece: str) -> str:
    return re.escape(piece).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _read_date(texts: Sequence[str], forms: Sequence[str]) -> date | None:
    """Return the one date that all texts give, or None."""
    try:
        dates = {datetime.strptime(text, form).date() for text, form in zip(texts, forms, strict=True)}
    except ValueError:
        return None
    return dates.pop() if len(dates) == 1 else None
