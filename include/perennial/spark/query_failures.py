"""Tells a query that fails on every try from a failure of the machines, the store or Perennial."""

from __future__ import annotations

import re

_FAILED_QUERY = re.compile(r"^== SQL \(line \d+, position \d+\) ==$", re.MULTILINE)
_CONDITION = re.compile(
    r"\[(?!INTERNAL_ERROR_|FAILED_READ_FILE|SPARK_JOB_CANCELLED|UNABLE_TO_ACQUIRE)[A-Z0-9_]+(?:\.[A-Z0-9_]+)*\] "
)
"""The condition of an error, unless it says that files, memory or other processes failed."""

_THROWN = re.compile(r"^(?:: |Caused by: )?((?:[a-z][\w$]*\.)+[A-Z][\w$]*)(?:: (.*))?$", re.MULTILINE)
_ELSEWHERE = re.compile(
    r"java\.(?:io|net|nio\.file|util\.concurrent)\.|OutOfMemory|Interrupted|Security|FetchFailed"
    r"|org\.apache\.(?:iceberg|thrift|hadoop(?!\.shaded)|spark\.(?:api\.python|shuffle|storage|rpc|network))\.|amazon"
)
"""The classes of errors that may not come again."""

_LOST = re.compile(r"ExecutorLostFailure|Python worker|SparkContext was shut down|stopped SparkContext")
_EVALUATION = re.compile(
    r"java\.lang\.(?:IllegalArgument|Arithmetic|NumberFormat|ClassCast|UnsupportedOperation|NegativeArraySize"
    r"|(?:Array|String)?IndexOutOfBounds)Exception"
    r"|java\.(?:util|util\.regex|text|time|time\.\w+|nio\.charset)\.\w+|javax\.xml\..+|com\.(?:univocity|fasterxml)\..+"
    r"|scala\.MatchError"
)
"""The classes of errors that an expression throws for its arguments."""

_FRAME = re.compile(r"^\s*at (?:\S*/)?((?:org\.apache\.(?:spark|iceberg|hadoop)|software\.amazon)[\w.$]*)", re.MULTILINE)


def find_query_failure(text: str) -> str | None:
    """
    Return Spark's message if a query fails by itself, so that a retry would fail too, or None.

    :param text: the error with the stack traces of the JVM
    """
    if _FAILED_QUERY.search(text):
        return text
    thrown = list(_THROWN.finditer(text))
    if _LOST.search(text) or any(_ELSEWHERE.search(one[1]) for one in thrown):
        return None
    if _CONDITION.search(text):
        return text
    if not thrown or not _EVALUATION.fullmatch(thrown[-1][1]):
        return None
    place = _FRAME.search(text, thrown[-1].end())
    if place is not None and not re.match(r"org\.apache\.(?:spark|hadoop\.shaded)\.", place[1]):
        return None
    return f"Spark fails with {thrown[-1][1].rpartition('.')[2]}: {thrown[-1][2] or 'no reason given'}"
