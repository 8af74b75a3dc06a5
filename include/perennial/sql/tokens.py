"""
SQL reduced to what it says: its tokens, comments and layout left out. The rules are those of Spark's lexer.

Two texts with the same tokens mean the same. Where that is in doubt (a `$`, a comment or a text without an end) a text is kept as it is,
so the worst that can happen is that a change of layout counts.
"""

from __future__ import annotations

import re
from functools import lru_cache

from perennial.store.objects import canonical_json, sha256

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<comment>--(?:\\\n|[^\r\n])*)                              # a backslash at its end takes in the next line
    | (?P<block>/\*(?!\+))                                          # ends where its own */ is; /*+ begins a hint
    | (?P<token>
        [rR]'[^']*' | [rR]"[^"]*"                                   # raw: a backslash is a backslash
      | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*`
      | \w+://[\w/\-.?=&\#%]+                                       # an address: the -- in it is no comment
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
    """Return a digest of what a query says, which comments and layout do not change."""
    return sha256(canonical_json(tokens(text)))


def tokens(text: str) -> list[str]:
    """Return the tokens of a query; the text itself, as the only one, where it cannot be taken apart without a doubt."""
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return [text]
        end: int | None = match.end()
        if match.lastgroup == "block":
            end = _end_of_block(text, match.end())
        elif match.lastgroup == "token":
            found.append(match["token"])
        if end is None:
            return [text]
        place = end
    return found


def _end_of_block(text: str, place: int) -> int | None:
    """Return where the comment ends whose first `/*` is before `place`; comments nest. None: nowhere."""
    depth = 1
    while depth:
        match = _BLOCK.search(text, place)
        if match is None:
            return None
        depth += 1 if match[0] == "/*" else -1
        place = match.end()
    return place
