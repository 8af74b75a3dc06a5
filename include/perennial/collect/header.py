"""The header of a file against the contract: what is missing, extra, renamed or doubled. The order is the file's own."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

MAX_PROBLEMS = 20
"""Of one header: they are stored, and a file of a million columns has as many."""

_MAX_COMPARED = 100
"""Names that are looked for under another spelling: each is compared with every missing one."""


def header_problems(found: Sequence[str], expected: Iterable[str], may_lack: Container[str] = ()) -> list[str]:
    """
    Return the differences between a header and the contract's columns, by name; at most MAX_PROBLEMS and how many more.

    :param may_lack: columns that this file need not hold
    """
    wanted = list(expected)
    if not found:
        return ["empty: there is no header"]
    if separator := _other_separator(found, wanted):
        return [f"the columns are separated by {separator!r}, expected ','"]
    known, counts = set(wanted), Counter(found)
    problems = [f"column {_cut(name)} is listed {count} times" for name, count in counts.items() if count > 1]
    missing = dict.fromkeys(name for name in wanted if name not in counts)
    for index, name in enumerate(name for name in counts if name not in known):
        near = difflib.get_close_matches(name.strip().lower()[:100], missing, n=1, cutoff=0.6) if index < _MAX_COMPARED else []
        if near:
            del missing[near[0]]
            problems.append(f"column {near[0]!r} was renamed to {_cut(name)}")
        else:
            problems.append(f"column {_cut(name)} is not in the contract")
    problems.extend(f"column {name!r} is missing" for name in missing if name not in may_lack)
    if len(problems) > MAX_PROBLEMS:
        return [*problems[:MAX_PROBLEMS], f"and {len(problems) - MAX_PROBLEMS} more of the header"]
    return problems


def differing_headers(headers: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the files of a drop whose columns are not those of its first file: the files of one drop are one table."""
    first = next(iter(headers), "")
    return [f"{name}: its columns are not those of {first}" for name, header in headers.items() if header != headers[first]]


def _other_separator(found: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return what separates the names of a header that reads as one column, where most of them are then known."""
    if len(found) != 1:
        return None
    return next((one for one in ";\t|" if len(set(found[0].split(one)) & set(wanted)) > max(1, len(wanted) // 2)), None)


def _cut(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "…")
