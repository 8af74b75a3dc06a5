"""Texts that can be shown: no character of a cell, a name or a reason steers a terminal or hides in a line."""

from __future__ import annotations

import json
import logging
import re
from html import escape

STEERING = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters, halves of surrogate pairs, and marks that reorder or break the line in which they appear."""

_HIDDEN = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""
Characters that are drawn as nothing, so that two texts that differ look the same.

They are those with Unicode's property Default_Ignorable_Code_Point, and the marks of annotations.
The selectors U+FE00 to U+FE0F are left out: many emoji end in one.
"""

_UNSHOWABLE = re.compile(f"[{STEERING}{_HIDDEN}]")


def make_showable(text: str) -> str:
    """Return a text with every character that steers or hides as its escape, such as `\\x1b`. Lines and tabs stay."""
    if text.isascii() and text.isprintable():  # nearly every text
        return text
    return _UNSHOWABLE.sub(lambda match: match[0] if match[0] in "\n\t" else ascii(match[0])[1:-1], text)


def dump_json(value: object) -> str:
    """Return a value as JSON on one line that a terminal can show, and that is read back as the same value."""
    return _UNSHOWABLE.sub(lambda match: json.dumps(match[0])[1:-1], json.dumps(value, ensure_ascii=False))


def make_html(text: object) -> str:
    """Return a value as the text of an HTML page."""
    return escape(make_showable(str(text)))


class _Record(logging.LogRecord):
    def getMessage(self) -> str:
        """Return the message of the record as it can be shown."""
        return make_showable(super().getMessage())


def make_logs_showable() -> None:
    """Make every message that this process logs showable, whichever handler writes it."""
    logging.setLogRecordFactory(_Record)
