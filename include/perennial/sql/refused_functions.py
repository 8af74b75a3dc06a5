"""What a pipeline's SQL may not call or yield: a result must follow from the rows alone, and a query reaches nothing but rows."""

from __future__ import annotations

import re

_TIME = "its result depends on the time; take dates from the view dates"
_CHANCE = "its result is another each time; derive what you need from the rows, for example with hash()"
_PLACE = "its result depends on how Spark reads the rows"
_WHO = "its result depends on who runs it and where"
_OUT = "it runs code outside of the query"

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
"""Function by name, and why it is refused."""

WITHOUT_ARGUMENTS = {"unix_timestamp": _TIME}
"""Refused when called without arguments."""

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
"""Those that SQL takes without parentheses, unless a column has the name."""

TRANSFORM = "TRANSFORM … USING: it runs a program"
IDENTIFIER = "IDENTIFIER(…): what it names is known only when it runs; write the name"

SAMPLE = f"TABLESAMPLE: {_CHANCE}"

_WORDS = frozenset((*REFUSED, *WITHOUT_ARGUMENTS, "using", "identifier", "tablesample"))
_MOMENT = re.compile(r"""(?<=['"])\s*(now|today|tomorrow|yesterday)(\s+[^'"]*)?(?=['"])""", re.IGNORECASE)

_ESCAPED = re.compile(r"""\b(date|timestamp\w*)\s*r?(?:'[^'\\]*\\|"[^"\\]*\\)""", re.IGNORECASE)
"""Spark reads such a literal while it parses, so that nobody sees what its escapes have become."""


def refused_texts(query: str) -> list[str]:
    """
    Return what a query's text may not hold, and why.

    `${…}` is replaced by Spark before it reads the query, so that nobody could say what is run. Of the four words Spark makes the
    present moment wherever it takes a text for a date: in DATE 'today', in a cast, in to_date(…), in a comparison.
    """
    found = ["${…}: Spark would put a setting of the job in its place; write what you mean"] if "${" in query else []
    if _ESCAPED.search(query):
        found.append(r"a backslash in a DATE or TIMESTAMP literal: write its characters")
    words = dict.fromkeys(match.group(0).strip() for match in _MOMENT.finditer(query))
    return [*found, *(f"the text {word!r}: as a date it is the present moment; take dates from the view dates" for word in words)]


def may_call_refused(query: str) -> bool:
    """Return whether a query's text has a word without which it calls nothing that is refused: if not, none need be looked for."""
    return not _WORDS.isdisjoint(re.findall(r"\w+", plain(query)))


def why_refused(name: str, arguments: int) -> str | None:
    """Return why a function may not be called, or None."""
    return REFUSED.get(plain(name)) or (WITHOUT_ARGUMENTS.get(plain(name)) if arguments == 0 else None)


def untyped_null(column: str) -> str:
    """Say that a column is NULL without a type, which no table can hold."""
    return f"column {column!r} is NULL and has no type: give it one, for example CAST(NULL AS STRING)"


def plain(name: str) -> str:
    """Return a name as Spark compares it: in capitals, where some letters beyond ASCII are those of ASCII."""
    return name.upper().lower()
