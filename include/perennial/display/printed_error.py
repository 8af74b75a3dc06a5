"""The error that a child process prints, and that its parent finds among the other lines of the output."""

from __future__ import annotations

from collections.abc import Sequence

from perennial.display.showable import make_showable

FIRST, GUTTER = "✗ ", "│ "
"""
The beginnings of the first line of an error, and of each other line.

They tell the error from the log around it. Airflow strips the lines of a log, and would lose their indentation without them.
"""

MAX_LINES = 200
"""Lines of output that a caller keeps to find the error."""


def mark_error(text: str) -> str:
    """Return an error as a child process prints it. It may quote cells and names."""
    first, *others = make_showable(text).splitlines() or [""]
    return "\n".join([FIRST + first, *(GUTTER + line for line in others)])


def read_error(lines: Sequence[str]) -> str:
    """Return the error that a child process printed, or an empty text."""
    # It prints one error, at its end. Lines of others, such as those of the JVM, may come between those of the error, and an
    # author's file may print a table with such a gutter before it.
    begin = max((place for place, line in enumerate(lines) if line.startswith(FIRST)), default=None)
    if begin is None:
        return ""
    others = [line[len(GUTTER) :] for line in lines[begin + 1 :] if line.startswith(GUTTER) or line == GUTTER.rstrip()]
    return "\n".join([lines[begin][len(FIRST) :], *others])
