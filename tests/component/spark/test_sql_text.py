"""The tokens of SQL beside those of Spark's own lexer: what is taken for the same must be the same to Spark."""

from __future__ import annotations

import json
import random

import pytest
from spark_job import run_job

from perennial.sql.tokens import tokens
from stack.config import REPO

PIECES = [
    *"'\"`\\-/*+<>=!|:.;&%#()[]{}?~^@", "--", "/*", "*/", "/*+",
    "'a'", '"b"', "`c`", "r'", 'R"', "''", "\\'", "://", "1", "2.5", ".5", "1e", "e5", "3L",
    "a", "r", "x1", "_", "é", "SELECT", "FROM", "$", " ", "\t", "\n", "\r\n", "\\\n",
    "-- c\n", "/* c */", "/* /* c */ */", "<=>", "->", "::", "||", ">>",
]  # fmt: skip
SEPARATORS = [" ", "\n", "\t \r\n", "-- a 'b\n", "/* a ' -- b */", "/* a /* b */ c */", " /**/ "]
JOB = r"""
import json, re, sys
from pyspark.java_gateway import launch_gateway

jvm = launch_gateway().jvm
parser = jvm.org.apache.spark.sql.catalyst.parser
TOKEN = re.compile(r"\[@-?\d+,(\d+):(-?\d+)='.*?',<(-?\d+)>(,channel=\d+)?,\d+:\d+\](?:, |\]$)", re.S)

def lex(text):
    lexer = parser.SqlBaseLexer(parser.UpperCaseCharStream(jvm.org.antlr.v4.runtime.CharStreams.fromString(text)))
    lexer.removeErrorListeners()
    shown = lexer.getAllTokens().toString()
    found = [m for m in TOKEN.finditer(shown)]
    assert sum(len(m[0]) for m in found) == len(shown.removeprefix("[]")[1:]), (text, shown)
    return [[int(m[3]), text[int(m[1]):int(m[2]) + 1]] for m in found if m[4] is None]

print("SAID", json.dumps([lex(text) for text in json.load(open(sys.argv[1]))]))
"""


def nasty(draw: random.Random) -> str:
    return "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 9)))


def edited(text: str, draw: random.Random) -> str:
    """Return the text with blanks, comments or single characters put in or taken out somewhere."""
    place = draw.randint(0, len(text))
    match draw.randint(0, 3):
        case 0:
            return text[:place] + draw.choice(SEPARATORS) + text[place:]
        case 1:
            return text[:place].rstrip() + text[place:].lstrip()
        case 2:
            return text[:place] + draw.choice(PIECES) + text[place:]
        case _:
            return text[:place] + text[place + 1 :]


def queries() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted((REPO / "include" / "pipelines").rglob("*.sql"))]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[object]]]:
    """Return {text: Spark's tokens, hidden ones left out} of random texts, their edits, and the pipelines' queries."""
    draw, folder = random.Random(20), tmp_path_factory.mktemp("lexer")
    texts = [text for _ in range(6000) for text in [nasty(draw)] for text in (text, edited(text, draw))]
    for query in queries():
        texts.append(query)
        pieces = tokens(query)
        texts += [
            " ".join(piece + " " + draw.choice(SEPARATORS) for piece in pieces) for _ in range(3)
        ]  # `*/*` would be `*/`, `*`
    texts = list(dict.fromkeys(texts))
    (folder / "texts.json").write_text(json.dumps(texts))
    return dict(zip(texts, run_job(folder, JOB, arguments=[str(folder / "texts.json")]), strict=True))


def test_texts_of_one_digest_are_the_same_to_spark(spark: dict[str, list[list[object]]]) -> None:
    same: dict[str, list[str]] = {}
    for text in spark:
        same.setdefault(json.dumps(tokens(text)), []).append(text)
    groups = [group for group in same.values() if len(group) > 1]
    assert len(groups) > 500
    for group in groups:
        assert all(spark[text] == spark[group[0]] for text in group), group


def test_comments_and_layout_of_queries_are_seen_as_such(spark: dict[str, list[list[object]]]) -> None:
    for query in queries():
        again = [text for text in spark if spark[text] == spark[query]]
        assert len(again) == 4
        assert {tuple(tokens(text)) for text in again} == {tuple(tokens(query))}


def test_random_texts_that_spark_takes_for_the_same_are_mostly_taken_for_the_same(spark: dict[str, list[list[object]]]) -> None:
    """Where it is not so, an edit of a comment makes something stale without need: rare, and only in doubtful texts."""
    by_spark: dict[str, set[str]] = {}
    for text, found in spark.items():
        by_spark.setdefault(json.dumps(found), set()).add(json.dumps(tokens(text)))
    differing = sum(len(found) > 1 for found in by_spark.values())
    assert differing < len(by_spark) / 10
