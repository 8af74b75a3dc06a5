"""Parse a SQL file without Spark: exactly one query, as a tree."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from perennial.sql.excerpt import show_place
from perennial.sql.finding import Doubt, Problem

_BEGINNINGS = {"SELECT", "WITH", "FROM", "TABLE", "VALUES", "MAP", "REDUCE", "("}
"""First words of a query in Spark's grammar. Any other word begins a statement, or is a mistake."""

MAX_TOKENS, MAX_SELECTS = 10_000, 100
"""The longest query of the demo has 400 tokens. Resolving the names of a query takes more than linear time."""

UNKNOWN_SYNTAX = "Spark may accept it: this check does not know all of Spark's syntax"

_REMEDY = (
    "Look for a missing comma, keyword or parenthesis there or just before. "
    "Spark accepts it only if it is syntax that this check does not know; `perennial try` asks Spark"
)

_BEFORE_A_NAME = {TokenType.SELECT, TokenType.COMMA, TokenType.DOT, TokenType.ALIAS}
_AFTER_AN_ALIAS = {"SETMINUS", "WATERMARK"}
"""Spark's keywords that sqlglot takes for names and that may follow an alias."""

# sqlglot logs warnings about syntax that it does not know. We report those ourselves.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class PerennialSpark(Spark):
    """Spark's dialect with `drop` as a name, because sources/*.sql read a view called `drop`."""

    class Tokenizer(Spark.Tokenizer):
        """The tokens of Spark without the keyword DROP."""

        KEYWORDS = {word: kind for word, kind in Spark.Tokenizer.KEYWORDS.items() if word != "DROP"}  # noqa: RUF012


def parse_query(file: str, text: str) -> exp.Expr:
    """
    Return the tree of a query.

    :raises Problem: when Spark would certainly refuse the text
    :raises Doubt: when this parser, which does not know all of Spark's syntax, does not understand the text
    """
    try:
        tokens = PerennialSpark().tokenize(text.rstrip("; \t\n"))  # the job strips it, too
        _check_tokens(file, tokens)
        (tree,) = PerennialSpark().parser().parse(tokens, text)
    except SqlglotError as error:
        raise _not_understood(file, text, error) from None
    except RecursionError:
        raise Doubt(f"{file}: nested too deep to be checked. {UNKNOWN_SYNTAX}") from None
    if isinstance(tree, exp.DML | exp.DDL | exp.Command) and not isinstance(tree, exp.Query):
        raise Problem(f"{file}: expected a query, found {tree.key.upper()}. Write one SELECT (or WITH … SELECT)")
    if not isinstance(tree, exp.Query):
        raise Doubt(f"{file}: a query without SELECT is not checked. {UNKNOWN_SYNTAX}")
    return tree


def _check_tokens(file: str, tokens: Sequence[Token]) -> None:
    if not tokens:
        raise Problem(f"{file}: empty. Write one SELECT (or WITH … SELECT)")
    if tokens[0].text.upper() not in _BEGINNINGS:
        raise Problem(f"{file}, line {tokens[0].line}: a query must begin with SELECT or WITH, found {tokens[0].text[:40]!r}")
    if len(tokens) > MAX_TOKENS or sum(token.token_type == TokenType.SELECT for token in tokens) > MAX_SELECTS:
        raise Doubt(f"{file}: more than {MAX_TOKENS:,} words or {MAX_SELECTS} SELECTs, too long to be checked")
    for line in _misspelt_from(tokens):
        raise Problem(f"{file}, line {line}: syntax error at 'FORM'. Did you mean 'FROM'?")
    open_at: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            raise Problem(f"{file}, line {token.line}: a semicolon within the query. Write one query only")
        if token.token_type == TokenType.L_PAREN:
            open_at.append(token)
        elif token.token_type == TokenType.R_PAREN:
            if not open_at:
                raise Problem(f"{file}, line {token.line}: a closing ) without an opening (")
            open_at.pop()
    if open_at:
        raise Problem(f"{file}, line {open_at[-1].line}: an opening ( without a closing )")


def _misspelt_from(tokens: Sequence[Token]) -> Iterator[int]:
    """
    Yield the line of each FORM that can only be a misspelt FROM.

    In `SELECT …, a FORM t`, FORM can only be the alias of `a`, and no name follows an alias.
    """
    for before, name, form, after in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        is_name = name.token_type == TokenType.VAR and before.token_type in _BEFORE_A_NAME
        is_table = after.token_type == TokenType.VAR and after.text.upper() not in _AFTER_AN_ALIAS
        if is_name and form.token_type == TokenType.VAR and form.text.upper() == "FORM" and is_table:
            yield form.line


def _not_understood(file: str, text: str, error: SqlglotError) -> Doubt:
    first = (getattr(error, "errors", None) or [{}])[0]
    if "line" not in first:
        return Doubt(f"{file}: not understood ({str(error).splitlines()[0][:200]}). {UNKNOWN_SYNTAX}")
    line, near = first["line"], str(first["highlight"])
    lines = "\n".join(re.split(r"\r\n?|\n", text))  # as sqlglot counts them
    excerpt = show_place(lines, line, max(0, first["col"] - len(near)), len(near))  # its column is that of the last character
    return Doubt(f"{file}, line {line}: probably a syntax error at {near[:40]!r}. {_REMEDY}\n{excerpt}")
