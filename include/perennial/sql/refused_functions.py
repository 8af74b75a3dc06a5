"""Calls and outputs that a pipeline's SQL may not have: a result must depend on the rows alone, and a query only reads rows."""

from __future__ import annotations

import re

from perennial.errors import did_you_mean
from perennial.sql.allowed_functions import ALLOWED
from perennial.sql.typed_literals import typed_literals

_TIME = "its result depends on the time; take dates from the view dates"
_CHANCE = "its result differs each time; derive the value from the rows, for example with hash()"
_PLACE = "its result depends on how Spark reads the rows"
_WHO = "its result depends on the user and the place of the run"
_OUT = "it runs code outside the query"
_OPENS = "its options open files"
_OFF = "its type is switched off in Spark 4.1"
_SKETCH = "its result differs each time; use percentile()"
_DIVIDED = "its error depends on how Spark divides the rows"
_KLL_KINDS = ("bigint", "double", "float")
_KLL = [
    *(f"kll_{call}_{kind}" for call in ("merge_agg", "sketch_agg", "sketch_merge", "sketch_to_string") for kind in _KLL_KINDS),
    *(f"kll_sketch_get_{value}_{kind}" for value in ("n", "quantile", "rank") for kind in _KLL_KINDS),
]

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
    **dict.fromkeys(("from_xml", "schema_of_xml", "from_avro", "schema_of_avro", "from_protobuf", "to_protobuf"), _OPENS),
    "to_avro": "Spark jobs lack its library",
    **dict.fromkeys(
        ("xpath", *(f"xpath_{kind}" for kind in ("boolean", "double", "float", "int", "long", "number", "short", "string"))),
        "a text can make it ask any address; take the value out with regexp_extract()",
    ),
    **dict.fromkeys(("collations", "sql_keywords", "python_worker_logs"), "it reads Spark itself"),
    **dict.fromkeys(_KLL, _SKETCH),
    **dict.fromkeys(("approx_percentile", "percentile_approx"), f"{_DIVIDED}; use percentile()"),
    **dict.fromkeys(
        ("hll_sketch_agg", "hll_union_agg", "hll_union", "hll_sketch_estimate"), f"{_DIVIDED}; use approx_count_distinct()"
    ),
    **dict.fromkeys(
        ("approx_top_k", "approx_top_k_accumulate", "approx_top_k_combine", "approx_top_k_estimate", "histogram_numeric"),
        f"{_DIVIDED}; count the rows of each value",
    ),
    **dict.fromkeys(("time", "make_time", "to_time", "try_to_time", "time_diff", "time_trunc"), _OFF),
    **dict.fromkeys(("st_asbinary", "st_geogfromwkb", "st_geomfromwkb", "st_setsrid", "st_srid"), _OFF),
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
        "user",
        "current_catalog",
        "current_database",
        "current_schema",
    )
)
"""Refused functions that SQL calls without parentheses, unless a column has that name."""

TRANSFORM = "TRANSFORM … USING: it runs a program"
IDENTIFIER = "IDENTIFIER(…): its name is known only when the query runs; write the name itself"
SAMPLE = f"TABLESAMPLE: {_CHANCE}"
UNKNOWN = "it is not among the parts that a query may have"

REFUSED_SYNTAX = {"ScriptTransformation": TRANSFORM, "Sample": SAMPLE, "ExpressionWithUnresolvedIdentifier": IDENTIFIER}
"""Reasons by the class of Spark's parsed plan; other classes that are not allowed are unknown."""

_MOMENT = re.compile(r"""(?<=['"])\s*+(now|today|tomorrow|yesterday)(?:\s[^'"]*+)?+(?=['"])""", re.IGNORECASE)

_ESCAPED = re.compile(r"""r?(?:'[^'\\]*+\\|"[^"\\]*+\\)""", re.IGNORECASE)
"""Spark converts such a literal after DATE or TIMESTAMP while it parses, so no check sees the text behind its escapes."""

_DAYLESS = re.compile(r"""r?['"][\x00-\x20]*+T?\d++:""", re.IGNORECASE)
"""Spark completes such a literal after TIMESTAMP with the present day."""


def refused_texts(query: str) -> list[str]:
    """
    Return the forbidden parts of a query's text, with the reasons.

    Spark replaces `${…}` before it parses the query, so a check would not see the query that runs. It turns the words now, today,
    tomorrow and yesterday into the present moment where a text becomes a date: in DATE 'today', a cast, to_date(…), a comparison.
    """
    problems = ["${…}: Spark would replace it by a setting of the job; write the value itself"] if "${" in query else []
    literals = list(typed_literals(query))
    if any(_ESCAPED.match(query, place) for _, place in literals):
        problems.append(r"a backslash in a DATE or TIMESTAMP literal: write the characters themselves")
    if any(kind == "timestamp" and _DAYLESS.match(query, place) for kind, place in literals):
        problems.append("a TIMESTAMP literal without a day: Spark would take the present one; write the day")
    words = dict.fromkeys(match.group(0).strip() for match in _MOMENT.finditer(query))
    moments = (f"the text {word!r}: as a date it is the present moment; take dates from the view dates" for word in words)
    return [*problems, *moments]


def why_refused(name: str, *, has_arguments: bool) -> str | None:
    """Return the reason why a function is refused, or None if it is allowed."""
    if reason := why_refused_on_purpose(name, has_arguments=has_arguments):
        return reason
    if "." in name:
        return "a query calls only Spark's own functions, by their plain names"
    # Spark looks a name up in lower case, and asks the metastore for a name that it does not know.
    return None if name.lower() in ALLOWED else f"Spark 4.1 has no such function.{did_you_mean(name.lower(), ALLOWED)}"


def why_refused_on_purpose(name: str, *, has_arguments: bool) -> str | None:
    """Return the reason why one of Spark's functions is refused, or None."""
    return REFUSED.get(plain(name)) or (None if has_arguments else WITHOUT_ARGUMENTS.get(plain(name)))


def untyped_null(column: str) -> str:
    """Return the problem text for a column that is NULL without a type, which no table can hold."""
    return f"column {column!r} is NULL and has no type: give it one, for example CAST(NULL AS STRING)"


def plain(name: str) -> str:
    """Normalize a name as Spark compares it: via upper case, which maps some letters beyond ASCII to ASCII."""
    return name.upper().lower()
