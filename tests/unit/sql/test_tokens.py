"""SQL counts by what it says: comments and layout do not, everything else does."""

from __future__ import annotations

import pytest

from perennial.sql.tokens import sql_digest, tokens

QUERY = "SELECT a, r.`b c` AS x, 'it''s' || \"q\" FROM t r WHERE a <= 1e-5 AND b <> -2"

SAME = {
    "layout": "SELECT  a,\n\tr.`b c` AS x ,'it''s'||\"q\"\r\nFROM t r\nWHERE a<=1e-5 AND b<>-2\n",
    "line comments": "-- first\nSELECT a, -- it's\nr.`b c` AS x, 'it''s' || \"q\" FROM t r WHERE a <= 1e-5 AND b <> -2 --",
    "block comments": "/* a 'quote */SELECT/**/a, r.`b c` AS x, 'it''s'/* -- */ || \"q\" FROM t r WHERE a <= 1e-5 AND b <> -2",
    "nested comments": "SELECT a, r.`b c` AS x, 'it''s' || \"q\" FROM t /* a /* b */ c */ r WHERE a <= 1e-5 AND b <> -2",
    "a comment that goes on": "-- first \\\n the same comment\n" + QUERY,
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_comments_and_layout_do_not_count(text: str) -> None:
    assert tokens(text) == tokens(QUERY)
    assert sql_digest(text) == sql_digest(QUERY)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'a  b'", "SELECT 'a b'"),
        ("SELECT 'a -- b'", "SELECT 'a -- c'"),
        ("SELECT 'a /* b */'", "SELECT 'a '"),
        ("SELECT `a  b`", "SELECT `a b`"),
        ('SELECT "a /* b */"', 'SELECT "a "'),
        ("SELECT 'it''s'", "SELECT 'it' 's'"),
        (r"SELECT 'a\' -- b'", r"SELECT 'a\' -- c'"),
        (r"SELECT r'a\' -- b", r"SELECT 'a\' -- b'"),
        ("SELECT r'a'", "SELECT r 'a'"),
        ("SELECT r'a  b'", "SELECT r'a b'"),
        ("SELECT `a``  b`", "SELECT `a`` b`"),
        ("SELECT /*+ BROADCAST(t) */ a", "SELECT a"),
        ("SELECT /*+ BROADCAST(t) */ a", "SELECT /*+ BROADCAST(u) */ a"),
        ("SELECT /*+ BROADCAST(t) */ a", "SELECT /* + BROADCAST(t) */ a"),
        ("SELECT 1e-5", "SELECT 1e - 5"),
        ("SELECT 1.5", "SELECT 1 .5"),
        ("SELECT ab", "SELECT a b"),
        ("SELECT a--b\n", "SELECT a- -b\n"),
        ("SELECT a / b", "SELECT a /* b"),
        ("SELECT * FROM csv.`s3a://x--y`", "SELECT * FROM csv.`s3a://x--z`"),
        ("SELECT a FROM s3://x--y", "SELECT a FROM s3://x--z"),
        ("SELECT a", "SELECT b"),
        ("SELECT a", "select a"),
        ("SELECT a AS x", "SELECT a AS X"),
        ("SELECT 1", "SELECT 1.0"),
        ("SELECT a -- one\n, b", "SELECT a -- one , b"),
        ("SELECT a /* one */ , b", "SELECT a /* one , b"),
        ("SELECT 'a", "SELECT 'b"),
        ("SELECT ${x} -- a", "SELECT ${x} -- b"),
        ("SELECT $$ -- a\n$$", "SELECT $$ -- b\n$$"),
        ("SELECT a\u00a0b", "SELECT a b"),
    ],
)
def test_everything_else_counts(one: str, other: str) -> None:
    assert sql_digest(one) != sql_digest(other)


def test_hints_stay_and_comments_in_them_go() -> None:
    assert tokens("SELECT /*+ BROADCAST(t) -- why\n */ a") == ["SELECT", "/*+", "BROADCAST", "(", "t", ")", "*/", "a"]


@pytest.mark.parametrize("text", ["SELECT 'a", "SELECT /* a", "SELECT /* /* */", "SELECT `a", "SELECT $a", "SELECT \x0b1"])
def test_a_text_that_leaves_a_doubt_stays_as_it_is(text: str) -> None:
    assert tokens(text) == [text]


@pytest.mark.exhaustive
def test_long_texts_are_read_in_linear_time() -> None:
    for text in ("(" * 200_000, "/*" * 100_000, "'" * 200_000, "a" * 200_000, "-" * 200_000, "1." * 100_000, "\\" * 200_000):
        tokens(text)
