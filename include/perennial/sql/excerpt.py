"""The line of a query that an error is about."""

from __future__ import annotations

MAX_LINE = 160


def show_place(sql: str, line: int, column: int, length: int) -> str:
    """
    Return a line of a query under its number, with a caret below the place.

    :param line: counted from 1
    :param column: counted from 0
    """
    text, begin = sql.split("\n")[line - 1].rstrip("\r"), max(0, column - MAX_LINE // 2)
    shown = text[begin : begin + MAX_LINE]
    column -= begin
    carets = "^" * max(1, min(length, len(shown) - column))
    number = f"{line:>4} | "
    # Tabs stay tabs, so that the caret is below its place in any terminal.
    blanks = "".join(char if char == "\t" else " " for char in shown[:column])
    return f"{number}{shown}\n{' ' * 4} | {blanks}{carets}"
