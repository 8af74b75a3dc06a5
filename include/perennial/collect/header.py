"""The header of a file against the contract: what is missing, extra, renamed, doubled or in another order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def header_problems(found: Sequence[str], expected: Iterable[str]) -> list[str]:
    """Return every difference between a header and the contract's columns, by name."""
    wanted = list(expected)
    if not found:
        return ["empty: there is no header"]
    problems = [
        f"column {_cut(name)} stands there {found.count(name)} times" for name in dict.fromkeys(found) if found.count(name) > 1
    ]
    missing = [name for name in wanted if name not in found]
    for name in dict.fromkeys(found):
        if name in wanted:
            continue
        near = difflib.get_close_matches(name.strip().lower(), missing, n=1, cutoff=0.6)
        if near:
            missing.remove(near[0])
            problems.append(f"column {near[0]!r} was renamed to {_cut(name)}")
        else:
            problems.append(f"column {_cut(name)} is not in the contract")
    problems.extend(f"column {name!r} is missing" for name in missing)
    if not problems and list(found) != wanted:
        first = next(index for index, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b)
        problems.append(f"columns in another order: column {first + 1} is {found[first]!r}, expected {wanted[first]!r}")
    return problems


def _cut(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "…")
