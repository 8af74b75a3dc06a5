"""A summary of the history that the present contract refuses: number of dates, cause, and what to declare. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date

from perennial.calendar import DAY
from perennial.collect.header import quote_name
from perennial.config.tables import Reference
from perennial.config.values import is_column_name

MIN_DATES = 2
"""One refused date is an ordinary gap; several dates with the same cause mean that the contract does not fit them."""
MAX_CAUSES = 5
LIST_FROM = "List it under columns, by a name of your own, with `from` and"

_FILE = re.compile(r"^[A-Za-z0-9._-]+\.csv(\.gz)?: ")
_ROWS = "too many rows break "
"""The beginning of a cause that clean gives."""
_UNKNOWN = re.compile(r"column (?P<quoted>.*) is not in the contract")


def count_refused(
    source: str,
    contract: Reference,
    refused: Mapping[date, Iterable[str]],
    headers: Mapping[date, Collection[str] | None],
    *,
    least: int = MIN_DATES,
) -> list[str]:
    """
    Return one sentence for each cause that at least `least` dates of a source share, the most frequent first.

    :param refused: problems of each refused drop
    :param headers: the columns of each drop that is needed and has landed, including the refused ones; None: not known
    """
    causes: dict[str, set[date]] = defaultdict(set)
    for day, problems in refused.items():
        for problem in problems:
            causes[_FILE.sub("", problem)].add(day)
    shared = sorted((item for item in causes.items() if len(item[1]) >= least), key=lambda item: (-len(item[1]), item[0]))
    texts = [
        f"{source}: {len(days)} of {len(headers)} dates {'breaks' if len(days) == 1 else 'break'} the present contract: "
        f"{cause}.{_format_remedy(source, cause, contract, days, headers)}"
        for cause, days in shared[:MAX_CAUSES]
    ]
    return texts if len(shared) <= MAX_CAUSES else [*texts, f"{source}: and {len(shared) - MAX_CAUSES} more causes"]


def rows_remedy(source: str) -> str:
    """Return what to do about rows of a table that break its contract."""
    return f"Check the feed, or change columns or max_quarantine_share of {source} in pipeline.yaml."


def _format_remedy(
    source: str, cause: str, contract: Reference, refused: set[date], headers: Mapping[date, Collection[str] | None]
) -> str:
    """Return what to do about broken rows, or what to declare for a column that drops lack or that is not in the contract."""
    if cause.startswith(_ROWS):
        return f" {rows_remedy(source)}"
    known = {day: {quote_name(name) for name in header} for day, header in headers.items() if header is not None}
    for place, column in contract.header.items():
        if cause == f"column {place!r} is missing":
            if column in contract.key:
                return f" Every row needs {column}, a column of the key: upstream must land it."
            lacking = refused | {day for day, names in known.items() if quote_name(place) not in names}
            declared = _declare(known.keys() - lacking, lacking)
            return f" Declare `{declared}` for {column}: it is then null on the dates that lack it."
    if unknown := _UNKNOWN.fullmatch(cause):
        quoted = unknown["quoted"]
        holding = refused | {day for day, names in known.items() if quoted in names}
        declared = _declare(holding, known.keys() - holding)
        listed = f"List {name} under columns with" if is_column_name(name := quoted[1:-1]) else LIST_FROM
        return f" {listed} `{declared}`: the files of these dates have it."
    return ""


def _declare(holding: Collection[date], lacking: Collection[date]) -> str:
    """Return the declaration of a column that some drops hold and others lack. It allows a column to be there on any date."""
    if lacking and (not holding or max(lacking) < min(holding)):
        return f"since: {min(holding, default=max(lacking) + DAY)}"
    if not lacking or max(holding) < min(lacking):
        return f"until: {max(holding)}"
    return "optional: true"
