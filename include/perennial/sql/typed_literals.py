"""The places of a query's text at which a literal such as DATE '…' may begin, in time that grows with the text's length."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

_TYPE = re.compile(r"\b(?:date|timestamp\w*+)", re.IGNORECASE)
_GAP = re.compile(r"\s++|--|/\*")
_CLOSE = {"--": "\n", "/*": "*/"}


def typed_literals(query: str) -> Iterator[tuple[str, int]]:
    """Yield each DATE and TIMESTAMP… in lower case, with the place of what follows it behind blanks and comments."""
    gaps = _Gaps(query)
    seen: set[tuple[str, int]] = set()
    for word in _TYPE.finditer(query):
        found = (word[0].lower()[: len("timestamp")], gaps.end(word.end()))
        if found not in seen:  # many words within a comment have one end
            seen.add(found)
            yield found


class _Gaps:
    """The ends of blanks and comments. Each is read once: a pattern would read a comment from each word within it."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._closes = {opens: [at.start() for at in re.finditer(re.escape(close), query)] for opens, close in _CLOSE.items()}
        self._known: dict[int, int] = {}

    def end(self, place: int) -> int:
        """Return the place behind all blanks and comments that begin at `place`."""
        passed = []
        while place not in self._known and (after := self._after(place)) > place:
            passed.append(place)
            place = after
        end = self._known.get(place, place)
        self._known.update(dict.fromkeys(passed, end))
        return end

    def _after(self, place: int) -> int:
        """Return the place behind the one gap that begins at `place`, or `place` if there is none, or one without an end."""
        gap = _GAP.match(self._query, place)
        if gap is None:
            return place
        if gap[0] not in _CLOSE:
            return gap.end()
        closes = self._closes[gap[0]]
        index = bisect_left(closes, gap.end())
        return closes[index] + len(_CLOSE[gap[0]]) if index < len(closes) else place
