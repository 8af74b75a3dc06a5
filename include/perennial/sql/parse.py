"""Reading a SQL file without Spark: a query and nothing else, as a tree."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from perennial.sql.finding import Doubt, Problem

_BEGINNINGS = {"SELECT", "WITH", "FROM", "TABLE", "VALUES", "MAP", "REDUCE", "("}
"""How a query may begin in Spark's grammar; everything else is a statement, or a slip."""

MAX_TOKENS, MAX_SELECTS = 10_000, 100
"""Of the demo's longest query: 400. Finding out what each name means takes more than linear time."""

# It warns of syntax that it does not know; so do we.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class PerennialSpark(Spark):
    """Spark's dialect, in which `drop` is a name: so is the view that sources/*.sql read."""

    class Tokenizer(Spark.Tokenizer):
        """The tokens of Spark, but for one keyword."""

        KEYWORDS = {word: kind for word, kind in Spark.Tokenizer.KEYWORDS.items() if word != "DROP"}  # noqa: RUF012


def parse_query(file: str, text: str) -> exp.Expr:
    """
    Return the tree of a query.

    :raises Problem: when Spark would certainly refuse the text
    :raises Doubt: when this parser, which knows less of Spark's syntax than Spark, does not understand it
    """
    try:
        tokens = PerennialSpark().tokenize(text.rstrip("; \t\n"))  # as the job does
        _refuse_what_is_no_query(file, tokens)
        (tree,) = PerennialSpark().parser().parse(tokens, text)
    except SqlglotError as error:
        raise _not_understood(file, error) from None
    except RecursionError:
        raise Doubt(f"{file}: nested too deep to be looked into") from None
    if isinstance(tree, exp.DML | exp.DDL | exp.Command) and not isinstance(tree, exp.Query):
        raise Problem(f"{file}: not a query but {tree.key.upper()}. One SELECT (or WITH … SELECT) is allowed")
    if not isinstance(tree, exp.Query):
        raise Doubt(f"{file}: a query without SELECT is not looked into")
    return tree


def _refuse_what_is_no_query(file: str, tokens: Sequence[Token]) -> None:
    if not tokens:
        raise Problem(f"{file}: empty. One SELECT (or WITH … SELECT) is expected")
    if tokens[0].text.upper() not in _BEGINNINGS:
        raise Problem(f"{file}, line {tokens[0].line}: a query begins with SELECT or WITH, found {tokens[0].text[:40]!r}")
    if len(tokens) > MAX_TOKENS or sum(token.token_type == TokenType.SELECT for token in tokens) > MAX_SELECTS:
        raise Doubt(f"{file}: more than {MAX_TOKENS:,} words or {MAX_SELECTS} SELECTs, too long to be looked into")
    open_at: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            raise Problem(f"{file}, line {token.line}: a semicolon within the query. One query is allowed")
        if token.token_type == TokenType.L_PAREN:
            open_at.append(token)
        elif token.token_type == TokenType.R_PAREN:
            if not open_at:
                raise Problem(f"{file}, line {token.line}: a ) that no ( opened")
            open_at.pop()
    if open_at:
        raise Problem(f"{file}, line {open_at[-1].line}: a ( that no ) closes")


def _not_understood(file: str, error: SqlglotError) -> Doubt:
    found = (getattr(error, "errors", None) or [{}])[0]
    if "line" not in found:
        return Doubt(f"{file}: not understood ({str(error).splitlines()[0][:200]})")
    near = str(found["highlight"])[:40]
    return Doubt(f"{file}, line {found['line']}: not understood at {near!r} ({found['description'].rstrip('.')[:200]})")
