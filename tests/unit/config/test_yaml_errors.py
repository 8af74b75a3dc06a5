"""Syntax errors of YAML: the probable line and cause in plain words."""

from __future__ import annotations

import pytest

from perennial.config.yaml_reader import parse_yaml
from perennial.errors import PipelineRefusedError

TEXT = """\
name: a
title: b
training:
  window_days: 7
  holdout_days: 7

  # a comment
  min_days: 3
tags:
  - x
  - y
"""
BLANK = "a blank is missing after the"
INDENTATION = "wrong indentation: line 4 begins with {} blanks, line 5 with {}. Indent all keys of a mapping alike"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("holdout_days: 7", "holdout_days:7", f"line 5: {BLANK} colon of 'holdout_days:7'. Write `holdout_days: 7`"),
        ("min_days: 3", "min_days:3", f"line 8: {BLANK} colon of 'min_days:3'. Write `min_days: 3`"),
        ("window_days: 7", "window_days:7", f"line 4: {BLANK} colon of 'window_days:7'. Write `window_days: 7`"),
        ("- y", "-y", f"line 11: {BLANK} dash of '-y'. Write `- y`"),
        ("min_days: 3", "min_days 3", "line 8: expected a key, a colon and a blank, found 'min_days 3'"),
        ("  holdout", "   holdout", f"line 4 or 5: {INDENTATION.format(2, 3)}"),
        ("  holdout", " holdout", f"line 4 or 5: {INDENTATION.format(2, 1)}"),
        ("  window", "   window", f"line 4 or 5: {INDENTATION.format(3, 2)}"),
        ("  holdout", "\tholdout", "line 5: a tab before the text. Indent with blanks only"),
        ("  window", "\twindow", "line 4: a tab before the text. Indent with blanks only"),
        ("title: b", "title: Faults: a forecast", "line 2: a second colon followed by a blank. Put the value in quotes"),
        ("title: b", "title: %b", "line 2: a value cannot begin with '%'. Put the value in quotes"),
        ("title: b", "title: 'b", "line 2: a quote is opened and not closed"),
        ("title: b", "title: [b", "line 2: a [ is not closed, or a comma is missing after it"),
        ("title: b", "title: {b: 1 c: 2}", "line 2: a { is not closed, or a comma is missing after it"),
        ("window_days: 7", "window_days: 'a' b", "line 4, column 20: while parsing a block mapping, did not find expected key"),
        ("title: b", 'title: "\\q"', "line 2, column 9: while parsing a quoted scalar, found unknown escape character"),
    ],
    ids=[
        "colon", "colon, last", "colon, first", "dash", "no colon", "deeper", "less deep", "first deeper", "tab", "first tab",
        "two colons", "sign", "quote", "bracket", "brace", "text after a quote", "escape",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_syntax_error_has_its_line_and_cause(old: str, new: str, expected: str, end: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(PipelineRefusedError) as refused:
        parse_yaml("pipeline.yaml", TEXT.replace(old, new).replace("\n", end))
    assert str(refused.value) == f"pipeline.yaml: not valid YAML: {expected}"
