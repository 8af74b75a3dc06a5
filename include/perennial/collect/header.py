"""The header of a file against the contract: what is missing, extra, renamed, doubled or in another order."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

MOST_PROBLEMS = 20
"""Of one header: they are stored, and a file of a million columns has as many."""

_MOST_COMPARED = 100
"""Names that are looked for under another spelling: each is compared with every missing one."""


def header_problems(found: Sequence[str], expected: Iterable[str]) -> list[str]:
    """Return the differences between a header and the contract's columns, by name; at most MOST_PROBLEMS and how many more."""
    wanted = list(expected)
    if not found:
        return ["empty: there is no header"]
    if separator := _other_separator(found, wanted):
        return [f"the columns are separated by {separator!r}, expected ','"]
    known, counts = set(wanted), Counter(found)
    problems = [f"column {_cut(name)} stands there {count} times" for name, count in counts.items() if count > 1]
    missing = dict.fromkeys(name for name in wanted if name not in counts)
    for index, name in enumerate(name for name in counts if name not in known):
        near = difflib.get_close_matches(name.strip().lower()[:100], missing, n=1, cutoff=0.6) if index < _MOST_COMPARED else []
        if near:
            del missing[near[0]]
            problems.append(f"column {near[0]!r} was renamed to {_cut(name)}")
        else:
            problems.append(f"column {_cut(name)} is not in the contract")
    problems.extend(f"column {name!r} is missing" for name in missing)
    if not problems and list(found) != wanted:
        first = next(index for index, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b)
        problems.append(f"columns in another order: column {first + 1} is {_cut(found[first])}, expected {wanted[first]!r}")
    if len(problems) > MOST_PROBLEMS:
        return [*problems[:MOST_PROBLEMS], f"and {len(problems) - MOST_PROBLEMS} more of the header"]
    return problems


def _other_separator(found: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return what separates the names of a header that reads as one column, where most of them are then known."""
    if len(found) != 1:
        return None
    return next((one for one in ";\t|" if len(set(found[0].split(one)) & set(wanted)) > max(1, len(wanted) // 2)), None)


def _cut(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "…")
