"""Texts that can be shown: no character of a cell, a name or a reason steers a terminal or hides in a line."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from html import escape
from types import TracebackType
from typing import Any

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


def make_line(text: str) -> str:
    """Return a showable text on one line: line feeds and tabs, with which a cell imitates other rows, are escapes too."""
    return make_showable(text).replace("\n", "\\n").replace("\t", "\\t")


def dump_json(value: object) -> str:
    """Return a value as JSON on one line that a terminal can show, and that is read back as the same value."""
    return _UNSHOWABLE.sub(lambda match: json.dumps(match[0])[1:-1], json.dumps(value, ensure_ascii=False))


def make_html(text: object) -> str:
    """Return a value as the text of an HTML page."""
    return escape(make_showable(str(text)))


class _Record(logging.LogRecord):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Write the traceback, which quotes the texts of errors, before a handler does. Formatters take what is here."""
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0]:
            self.exc_text = make_showable("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))

    def getMessage(self) -> str:
        """Return the message of the record as it can be shown."""
        return make_showable(super().getMessage())


def make_logs_showable() -> None:
    """Make the messages and tracebacks of this process's logs showable, and the traceback that it or a thread ends with."""
    logging.setLogRecordFactory(_Record)
    sys.excepthook = _print_error
    threading.excepthook = lambda end: _print_error(end.exc_type, end.exc_value, end.exc_traceback)


def _print_error(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    """Print an error that nothing has caught, as Python does."""
    if not (kind is SystemExit and threading.current_thread() is not threading.main_thread()):
        sys.stderr.write(make_showable("".join(traceback.format_exception(kind, error, where))))
