"""A check of a file's header against the contract: missing, extra, renamed and duplicate columns, in any order."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

MAX_PROBLEMS = 20
"""Problems of one header that are stored: a file of a million columns could have a million."""

_MAX_COMPARED = 100
"""Unknown names for which a similar name is searched: each is compared with every missing column."""


def header_problems(
    found: Sequence[str], expected: Iterable[str], may_lack: Container[str] = (), delimiter: str = ","
) -> list[str]:
    """
    Return the differences between a header and the contract's columns, by name.

    At most MAX_PROBLEMS are listed, then the number of the others.

    :param expected: names in the header
    :param may_lack: those that may be missing in this file
    """
    wanted = list(expected)
    if not found:
        return ["empty: there is no header"]
    if separator := _other_delimiter(found, wanted):
        return [f"the columns are separated by {separator!r}, expected {delimiter!r}: set csv.delimiter"]
    known, counts = set(wanted), Counter(found)
    problems = [f"column {quote_name(name)} is listed {count} times" for name, count in counts.items() if count > 1]
    missing = dict.fromkeys(name for name in wanted if name not in counts)
    for index, name in enumerate(name for name in counts if name not in known):
        near = difflib.get_close_matches(name.strip().lower()[:100], missing, n=1, cutoff=0.6) if index < _MAX_COMPARED else []
        if near:
            del missing[near[0]]
            problems.append(f"column {near[0]!r} was renamed to {quote_name(name)}")
        else:
            problems.append(f"column {quote_name(name)} is not in the contract")
    problems.extend(f"column {name!r} is missing" for name in missing if name not in may_lack)
    if len(problems) > MAX_PROBLEMS:
        return [*problems[:MAX_PROBLEMS], f"and {len(problems) - MAX_PROBLEMS} more problems in the header"]
    return problems


def differing_headers(headers: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a problem for each file whose columns differ from those of the first file: the files of a drop form one table."""
    first = next(iter(headers), "")
    return [f"{name}: its columns differ from those of {first}" for name, header in headers.items() if header != headers[first]]


def _other_delimiter(found: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the delimiter of a header that reads as one column, if splitting by it yields most of the contract's columns."""
    if len(found) != 1:
        return None
    return next((char for char in ",;\t|" if len(set(found[0].split(char)) & set(wanted)) > max(1, len(wanted) // 2)), None)


def quote_name(name: str) -> str:
    """Return the name of a column as a problem shows it."""
    return repr(name if len(name) <= 60 else name[:60] + "…")
