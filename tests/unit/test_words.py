"""The words of docs, errors, comments and names: standard terms, each with one meaning."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.config import REPO

INSTEAD = {
    r"anew": "again",
    r"nobody": "no one, or name the actor",
    r"stands?|stood": "is, or name the state",
    r"hardly": "rarely",
    r"whoever|whatever|wherever": "name the actor, the thing or the place",
    r"is gone|are gone": "has been deleted, or no longer exists",
}
"""Words that we do not use, and the words to use in their place."""

SUBJECTS = re.compile(r"(?:^|[.!?:]\s+)((?:What|Who|Whose|One that|Those that|Such a)\b [^.!?]*)(?=[.!]|$)")
"""A sentence whose subject is a clause. A question ends in a question mark."""

NAMES = re.compile(r"\b_?(?:MOST|LONGEST|FEWEST|SHORTEST|LARGEST|SMALLEST)_[A-Z_]+\b")
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("**/*.md"))]
CODE = [*(file for folder in ("include", "plugins", "dags") for file in sorted((REPO / folder).glob("**/*.py")))]
HISTORY = REPO / "docs/adr"
"""Records of decisions keep the words of their time."""


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the prose of a file by line: a page without its code, the comments and strings of a module."""
    body = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        body = re.sub(r"```.*?```", lambda block: "\n" * block[0].count("\n"), body, flags=re.DOTALL)
        yield from ((number, re.sub(r"`[^`]*`", "", line)) for number, line in enumerate(body.splitlines(), 1))
        return
    for token in tokenize.generate_tokens(io.StringIO(body).readline):
        if token.type in (
            tokenize.COMMENT,
            tokenize.STRING,
            tokenize.FSTRING_MIDDLE if hasattr(tokenize, "FSTRING_MIDDLE") else -1,
        ):
            text = re.sub(r"^#\s*|^[rbfuRBFU]*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$", "", token.string)
            yield token.start[0], re.sub(r"\s+", " ", re.sub(r"`[^`]*`", "", text)).strip()


def find(file: Path) -> list[str]:
    """Return what a file says that it should not, with the words to use."""
    found = []
    for number, text in texts(file):
        where = f"{file.relative_to(REPO)}:{number}"
        for words, instead in INSTEAD.items():
            found += [f"{where}: {hit[0]!r}: {instead}" for hit in re.finditer(rf"\b(?:{words})\b", text, re.IGNORECASE)]
        found += [f"{where}: {hit[1][:60]!r}: begin with the subject" for hit in SUBJECTS.finditer(text)]
    if file.suffix == ".py":
        found += [f"{file.relative_to(REPO)}: {name}: MAX_ or MIN_" for name in sorted({*NAMES.findall(file.read_text())})]
    return found


@pytest.mark.parametrize("file", [page for page in PAGES if not page.is_relative_to(HISTORY)], ids=lambda file: file.name)
def test_pages_use_the_standard_words(file: Path) -> None:
    assert find(file) == []


@pytest.mark.exhaustive
def test_errors_comments_and_docstrings_use_the_standard_words() -> None:
    assert [line for file in CODE for line in find(file)] == []


def test_the_glossary_has_each_term_once() -> None:
    terms = re.findall(r"^\| `?([^|`]+?)`? \|", (REPO / "docs/glossary.md").read_text(encoding="utf-8"), re.MULTILINE)[2:]
    assert len(terms) > 50
    assert [term.lower() for term in terms] == sorted({term.lower() for term in terms})
