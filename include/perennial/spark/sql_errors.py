"""Spark's error about a query in one sentence (file, line, cause, piece), followed by the remedy and the line itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from perennial.errors import RefusedError
from perennial.sql.excerpt import show_place

MAX_PIECE, MAX_CAUSE = 80, 500

_CONDITION = re.compile(r"\[([A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\] ")
_END = re.compile(r"(?:\.? SQLSTATE: \w+|; line \d+ pos \d+|\s\(line \d+, pos \d+\)|\n== SQL|\n'|\n\tat |\n\n)")
_PARSED = re.compile(r"\(line (\d+), pos (\d+)\)|; line (\d+) pos (\d+)")
_RUN = re.compile(r"== SQL \(line (\d+), position (\d+)\) ==\n(?:\.\.\.)?(.*?)(?:\.\.\.)?\n *(\^+)")
_ADVICE = re.compile(r" (?:If necessary set|Please, refer to|To tolerate the error|Verify the spelling) .*", re.DOTALL)

_ROWS = "Define the result for such rows"
_KNOWN: tuple[tuple[str, str, str, str], ...] = (
    ("DIVIDE_BY_ZERO", "", "division by zero", f"{_ROWS}, for example with try_divide, NULLIF or CASE"),
    (
        "CAST_INVALID_INPUT",
        r'The value (.+) of the type "(.+?)" cannot be cast to "(.+?)"',
        "the {1} {0} cannot be cast to {2}",
        f"{_ROWS}, for example with try_cast, which gives null",
    ),
    (
        "CAST_OVERFLOW",
        r'The value (.+?)[LDS]? of the type ".+?" cannot be cast to "(.+?)"',
        "the value {0} is too large for {1}",
        f"Cast to a larger type, or {_ROWS[0].lower()}{_ROWS[1:]} with try_cast",
    ),
    ("ARITHMETIC_OVERFLOW", "", "a number is too large for its type", "Cast its parts to DOUBLE or DECIMAL first"),
    (
        "UNRESOLVED_COLUMN",
        r"with name (.+?) cannot be resolved(?:\. Did you mean one of the following\? \[(.+?)\])?",
        "unknown column {0}",
        "Did you mean {1}?",
    ),
    ("UNRESOLVED_ROUTINE", r"Cannot resolve routine (.+?) on", "unknown function {0}", "Spark 4.1 has no function of this name"),
    (
        "AMBIGUOUS_REFERENCE",
        r"Reference (.+?) is ambiguous, could be: \[(.+?)\]",
        "the column {0} is ambiguous",
        "Write one of {1}",
    ),
    (
        "PARSE_SYNTAX_ERROR",
        r"Syntax error at or near ('.*?'|end of input)",
        "syntax error at {0}",
        "Look for a missing comma, keyword or parenthesis there or just before. A file is one SELECT (or WITH … SELECT)",
    ),
    (
        "INTERNAL_ERROR",
        "COLUMN_IS_NOT_VARIANT_TYPE",
        "a path such as `a:b` reads a column that is no variant",
        "Parse a text with parse_json first",
    ),
    (
        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
        "",
        "a subquery that is used as a value returns several rows",
        "Aggregate it, or give it a condition that leaves one row",
    ),
)
"""By the beginning of Spark's condition: a pattern of its message, the cause and the remedy, with the groups of the pattern."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in a query: its line, counted from 1, the column, counted from 0, and the number of characters."""

    line: int
    column: int
    length: int


def explain(file: str, sql: str, message: str) -> RefusedError:
    """
    Return the refusal of a query for Spark's message about it.

    :param sql: the text of the file, in which the message names a place
    """
    place = _find_place(sql, message)
    cause, remedy = _find_cause(message)
    where = file if place is None else f"{file}, line {place.line}"
    text = sql.split("\n")[place.line - 1] if place else ""
    piece = text[place.column : place.column + place.length] if place and place.length > 1 else ""
    quoted = f" in `{' '.join(piece.split())[:MAX_PIECE]}`" if piece else ""
    excerpt = show_place(sql, place.line, place.column, place.length) if place else ""
    return RefusedError(f"{where}: {cause}{quoted}", remedy=_end(remedy), details=excerpt)


def _find_place(sql: str, message: str) -> _Place | None:
    """Return the place that a message names, or None. A piece of another text than the file has no place in it."""
    lines = sql.split("\n")
    if (match := _RUN.search(message)) is not None:
        line, column = int(match[1]), int(match[2]) - 1
        is_here = line <= len(lines) and match[3] in lines[line - 1]  # Spark cuts a long line around the piece
        return _Place(line, column, len(match[4])) if is_here else None
    if (match := _PARSED.search(message)) is not None:
        line, column = int(match[1] or match[3]), int(match[2] or match[4])
        return _Place(line, column, 1) if line <= len(lines) else None
    return None


def _find_cause(message: str) -> tuple[str, str]:
    """Return the cause in our words, or in Spark's own without its codes, and the remedy."""
    found = _CONDITION.search(message)
    body = message[found.end() :] if found else message.strip()
    end = _END.search(body)
    said = " ".join(_ADVICE.sub("", body[: end.start()] if end else body).split())
    for condition, pattern, cause, remedy in _KNOWN if found else ():
        if found is None or not found[1].startswith(condition):
            continue
        match = re.search(pattern, said)
        if match is not None:
            groups = [(group or "").replace("`", "") for group in match.groups()]
            return cause.format(*groups), "" if remedy.startswith("Did you mean") and not groups[1] else remedy.format(*groups)
    return said.rstrip(".")[:MAX_CAUSE], ""


def _end(remedy: str) -> str:
    return remedy if not remedy or remedy.endswith("?") else f"{remedy}."
