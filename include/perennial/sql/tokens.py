"""
SQL reduced to its tokens, without comments and layout. The rules are those of Spark's lexer.

Two texts with the same tokens have the same meaning. If that is uncertain (a `$`, or a comment or string without an end), the
whole text counts, so at worst a change of layout counts as a change.
"""

from __future__ import annotations

import re
from functools import lru_cache

from perennial.store.content_name import canonical_json, sha256

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<comment>--(?:\\\n|[^\r\n])*)                              # a backslash at its end continues it on the next line
    | (?P<block>/\*(?!\+))                                          # ends at its matching */; /*+ begins a hint
    | (?P<token>
        [rR]'[^']*' | [rR]"[^"]*"                                   # raw: a backslash is a backslash
      | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*`
      | \w+://[\w/\-.?=&\#%]+                                       # an address: a -- in it is not a comment
      | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\w*                 # a number; `1e-5` is one, `1e - 5` is not
      | \w+
      | /\*\+ | \*/ | <=> | <> | != | <= | >= | !< | !> | == | \|\| | \|> | -> | => | :: | << | >>> | >>
      | [^'"`$\s\w]
      )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/\*(?!\+)|\*/")


@lru_cache(maxsize=256)
def sql_digest(text: str) -> str:
    """Return a digest of a query's tokens; comments and layout do not change it."""
    return sha256(canonical_json(tokens(text)))


def tokens(text: str) -> list[str]:
    """Return the tokens of a query, or the whole text as one token if it cannot be split with certainty."""
    parts, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return [text]
        end: int | None = match.end()
        if match.lastgroup == "block":
            end = _end_of_block(text, match.end())
        elif match.lastgroup == "token":
            parts.append(match["token"])
        if end is None:
            return [text]
        place = end
    return parts


def _end_of_block(text: str, place: int) -> int | None:
    """Return the end of the comment that begins before `place`, or None if it has no end. Comments nest."""
    depth = 1
    while depth:
        match = _BLOCK.search(text, place)
        if match is None:
            return None
        depth += 1 if match[0] == "/*" else -1
        place = match.end()
    return place
