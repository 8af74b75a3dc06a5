"""Calls and tables that the tokens of a query show to be refused, for syntax that the parser does not know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from perennial.sql.parse import PerennialSpark
from perennial.sql.refused_functions import why_refused, why_refused_on_purpose

_READS = {TokenType.FROM, TokenType.JOIN}
_WITH_FROM = {"extract", "overlay", "position", "substr", "substring", "trim"}
"""Functions with FROM among their arguments."""


def problems_of_tokens(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each problem that is certain without the structure of the query."""
    try:
        tokens = PerennialSpark().tokenize(text)
    except SqlglotError:
        return
    opened: list[str] = []
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else None
        if token.token_type == TokenType.L_PAREN:
            name, begin = _name_before(tokens, place)
            opened.append(name.lower())
            yield from _call(tokens, place, name, begin)
        elif token.token_type == TokenType.R_PAREN and opened:
            opened.pop()
        elif token.token_type in _READS and not (opened and opened[-1] in _WITH_FROM) and not _is(before, "DISTINCT"):
            name = _name_after(tokens, place + 1)
            if "." in name:
                yield token.line, f"{name!r} is a full name or a path; a query reads only its views, by their names"


def _call(tokens: Sequence[Token], place: int, name: str, begin: int) -> Iterator[tuple[int, str]]:
    """Yield the problem of a call whose arguments begin at `place`. `AS name (…)` names columns."""
    if not name or (begin and tokens[begin - 1].token_type == TokenType.ALIAS):
        return
    has_arguments = place + 1 < len(tokens) and tokens[place + 1].token_type != TokenType.R_PAREN
    judge = why_refused if "." in name else why_refused_on_purpose
    if why := judge(name, has_arguments=has_arguments):
        yield tokens[place].line, f"the function {name.lower()}: {why}"


def _name_before(tokens: Sequence[Token], end: int) -> tuple[str, int]:
    """Return the name that ends before a place, with its dots, and the place where it begins."""
    begin = end
    while begin and _is_name(tokens[begin - 1]):
        begin -= 1
        if not begin or tokens[begin - 1].token_type != TokenType.DOT:
            break
        begin -= 1
    return "".join(token.text for token in tokens[begin:end]), begin


def _name_after(tokens: Sequence[Token], begin: int) -> str:
    end = begin
    while end < len(tokens) and (_is_name(tokens[end]) or tokens[end].token_type == TokenType.DOT):
        end += 1
        if end < len(tokens) and tokens[end].token_type != TokenType.DOT and tokens[end - 1].token_type != TokenType.DOT:
            break
    return "".join(token.text for token in tokens[begin:end])


def _is_name(token: Token) -> bool:
    is_word = token.token_type == TokenType.IDENTIFIER or token.text.replace("_", "a").isalnum()
    return is_word and token.token_type not in (TokenType.NUMBER, TokenType.STRING)


def _is(token: Token | None, word: str) -> bool:
    return token is not None and token.text.upper() == word
