"""A summary of the history that the present contract refuses: number of dates, cause, and what to declare. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date

from perennial.calendar import DAY

MIN_DATES = 2
"""One refused date is an ordinary gap; several dates with the same cause mean that the contract does not fit them."""
MAX_CAUSES = 5

_FILE = re.compile(r"^[A-Za-z0-9._-]+\.csv(\.gz)?: ")
_MISSING = re.compile(r"column '(?P<name>[^']*)' is missing")
_UNKNOWN = re.compile(r"column '(?P<name>[^']*)' is not in the contract")


def count_refused(
    source: str, refused: Mapping[date, Iterable[str]], dates: Collection[date], *, least: int = MIN_DATES
) -> list[str]:
    """
    Return one sentence for each cause that at least `least` dates of a source share, the most frequent first.

    :param refused: problems of each refused drop
    :param dates: all dates that are needed and have landed, including the refused ones
    """
    causes: dict[str, set[date]] = defaultdict(set)
    for day, problems in refused.items():
        for problem in problems:
            causes[_FILE.sub("", problem)].add(day)
    shared = sorted((item for item in causes.items() if len(item[1]) >= least), key=lambda item: (-len(item[1]), item[0]))
    texts = [
        f"{source}: {len(days)} of {len(dates)} dates {'breaks' if len(days) == 1 else 'break'} the present contract: "
        f"{cause}.{_format_remedy(cause, days, dates)}"
        for cause, days in shared[:MAX_CAUSES]
    ]
    return texts if len(shared) <= MAX_CAUSES else [*texts, f"{source}: and {len(shared) - MAX_CAUSES} more causes"]


def _format_remedy(cause: str, refused: set[date], dates: Collection[date]) -> str:
    """Return what to declare for a column that these drops lack, or that they hold though the contract no longer lists it."""
    others = [day for day in dates if day not in refused]
    is_begun = not others or max(refused) < min(others)
    is_ended = not is_begun and min(refused) > max(others)
    if column := _MISSING.fullmatch(cause):
        declared = "optional: true"
        if is_begun:
            declared = f"since: {max(refused) + DAY}"
        elif is_ended:
            declared = f"until: {min(refused) - DAY}"
        return f" Declare `{declared}` for {column['name']}: it is then null on the dates that lack it."
    if column := _UNKNOWN.fullmatch(cause):
        declared = f" with `until: {max(refused)}`" if is_begun else ""
        return f" List {column['name']} under columns{declared}: the files of these dates have it."
    return ""
