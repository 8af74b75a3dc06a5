"""The probable cause and line of a YAML syntax error. libyaml reports the place at which it gave up, often a line too far."""

from __future__ import annotations

import re

import yaml

MAX_SHOWN = 80

_NO_BLANK = re.compile(r"\s*(?:- )?([\w.-]+):([^\s:/].*)")
_NO_BLANK_ITEM = re.compile(r"\s*-(\w.*)")


def explain_yaml(text: str, error: yaml.YAMLError) -> str:
    """Return the error in one line: the probable line and cause, or libyaml's own place and message."""
    if not isinstance(error, yaml.MarkedYAMLError) or (mark := error.problem_mark or error.context_mark) is None:
        return " ".join(str(error).split())
    lines = re.split(r"\r\n?|\n", text)
    begin = error.context_mark.line if error.context_mark else mark.line
    if cause := _find_cause(lines, str(error.problem), begin, mark.line, mark.column):
        return "line {}: {}".format(*cause)
    message = ", ".join(part for part in (error.context, error.problem) if part)
    return f"line {mark.line + 1}, column {mark.column + 1}: {message}"


def _find_cause(lines: list[str], problem: str, begin: int, at: int, column: int) -> tuple[int | str, str] | None:
    """
    Return the line, counted from 1, and the cause, or None.

    :param begin: the line at which the construct begins that libyaml could not read, counted from 0
    :param at: the line at which it gave up, counted from 0
    """
    line, before = lines[at] if at < len(lines) else "", _line_before(lines, at)
    for number in dict.fromkeys((at, begin)):
        if number < len(lines) and re.match(r" *\t", lines[number]):
            return number + 1, "a tab before the text. Indent with blanks only"
    if "could not find expected ':'" in problem:
        return begin + 1, _describe_key(lines[begin])
    if "mapping values are not allowed" in problem:
        if ": " in line[:column]:
            return at + 1, "a second colon followed by a blank. Put the value in quotes"
        if before is not None and _indentation(lines[before]) == _indentation(line):
            return before + 1, _describe_key(lines[before])
    if "mapping values are not allowed" in problem or ("expected key" in problem and column == _indentation(line)):
        if before is None or _indentation(lines[before]) == _indentation(line):
            return None
        blanks = f"line {before + 1} begins with {_indentation(lines[before])} blanks, line {at + 1} with {_indentation(line)}"
        return f"{before + 1} or {at + 1}", f"wrong indentation: {blanks}. Indent all keys of a mapping alike"
    if "cannot start any token" in problem and column < len(line):
        return at + 1, f"a value cannot begin with {line[column]!r}. Put the value in quotes"
    if "unexpected end of stream" in problem:
        return begin + 1, "a quote is opened and not closed"
    if "did not find expected ','" in problem:
        return begin + 1, f"a {'[' if ']' in problem else '{'} is not closed, or a comma is missing after it"
    return None


def _describe_key(line: str) -> str:
    shown = line.strip()[:MAX_SHOWN]
    if match := _NO_BLANK.fullmatch(line):
        return f"a blank is missing after the colon of {shown!r}. Write `{match[1]}: {match[2][:MAX_SHOWN]}`"
    if match := _NO_BLANK_ITEM.fullmatch(line):
        return f"a blank is missing after the dash of {shown!r}. Write `- {match[1][:MAX_SHOWN]}`"
    return f"expected a key, a colon and a blank, found {shown!r}"


def _line_before(lines: list[str], at: int) -> int | None:
    """Return the number of the last line before `at` that is neither blank nor a comment."""
    return next((n for n in range(min(at, len(lines)) - 1, -1, -1) if lines[n].strip() and lines[n].lstrip()[0] != "#"), None)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
