"""Calls and outputs that a pipeline's SQL may not have: a result must depend on the rows alone, and a query only reads rows."""

from __future__ import annotations

import re

_TIME = "its result depends on the time; take dates from the view dates"
_CHANCE = "its result differs each time; derive the value from the rows, for example with hash()"
_PLACE = "its result depends on how Spark reads the rows"
_WHO = "its result depends on the user and the place of the run"
_OUT = "it runs code outside the query"

REFUSED = {
    **dict.fromkeys(("current_date", "curdate", "current_timestamp", "now", "localtimestamp", "current_time"), _TIME),
    **dict.fromkeys(("rand", "randn", "random", "randstr", "uniform", "uuid", "shuffle", "aes_encrypt"), _CHANCE),
    **dict.fromkeys(
        (
            "monotonically_increasing_id",
            "spark_partition_id",
            "input_file_name",
            "input_file_block_start",
            "input_file_block_length",
        ),
        _PLACE,
    ),
    **dict.fromkeys(
        (
            "current_user",
            "session_user",
            "user",
            "current_catalog",
            "current_database",
            "current_schema",
            "current_path",
            "current_timezone",
            "version",
        ),
        _WHO,
    ),
    **dict.fromkeys(("reflect", "java_method", "try_reflect"), _OUT),
    **dict.fromkeys(("from_xml", "schema_of_xml"), "its options open files"),
}
"""Refused functions by name, with the reason."""

WITHOUT_ARGUMENTS = {"unix_timestamp": _TIME}
"""Functions that are refused when called without arguments."""

WITHOUT_PARENTHESES = frozenset(
    (
        "current_date",
        "current_timestamp",
        "localtimestamp",
        "current_time",
        "current_user",
        "session_user",
        "current_catalog",
        "current_database",
    )
)
"""Refused functions that SQL calls without parentheses, unless a column has that name."""

TRANSFORM = "TRANSFORM … USING: it runs a program"
IDENTIFIER = "IDENTIFIER(…): its name is known only when the query runs; write the name itself"

SAMPLE = f"TABLESAMPLE: {_CHANCE}"

_WORDS = frozenset((*REFUSED, *WITHOUT_ARGUMENTS, "using", "identifier", "tablesample"))
_MOMENT = re.compile(r"""(?<=['"])\s*(now|today|tomorrow|yesterday)(\s+[^'"]*)?(?=['"])""", re.IGNORECASE)

_ESCAPED = re.compile(r"""\b(date|timestamp\w*)\s*r?(?:'[^'\\]*\\|"[^"\\]*\\)""", re.IGNORECASE)
"""Spark converts such a literal while it parses, so no check sees the text behind its escapes."""


def refused_texts(query: str) -> list[str]:
    """
    Return the forbidden parts of a query's text, with the reasons.

    Spark replaces `${…}` before it parses the query, so a check would not see the query that runs. It turns the words now, today,
    tomorrow and yesterday into the present moment where a text becomes a date: in DATE 'today', a cast, to_date(…), a comparison.
    """
    problems = ["${…}: Spark would replace it by a setting of the job; write the value itself"] if "${" in query else []
    if _ESCAPED.search(query):
        problems.append(r"a backslash in a DATE or TIMESTAMP literal: write the characters themselves")
    words = dict.fromkeys(match.group(0).strip() for match in _MOMENT.finditer(query))
    moments = (f"the text {word!r}: as a date it is the present moment; take dates from the view dates" for word in words)
    return [*problems, *moments]


def may_call_refused(query: str) -> bool:
    """Cheap pre-check: return False if no refused name occurs in the text, so that its plan need not be walked."""
    return not _WORDS.isdisjoint(re.findall(r"\w+", plain(query)))


def why_refused(name: str, arguments: int) -> str | None:
    """Return the reason why a function is refused, or None if it is allowed."""
    return REFUSED.get(plain(name)) or (WITHOUT_ARGUMENTS.get(plain(name)) if arguments == 0 else None)


def untyped_null(column: str) -> str:
    """Return the problem text for a column that is NULL without a type, which no table can hold."""
    return f"column {column!r} is NULL and has no type: give it one, for example CAST(NULL AS STRING)"


def plain(name: str) -> str:
    """Normalize a name as Spark compares it: via upper case, which maps some letters beyond ASCII to ASCII."""
    return name.upper().lower()
