"""A module's source counts by what it does: comments, docstrings and layout do not, everything else does."""

from __future__ import annotations

import pytest

from perennial.fingerprints.source import read_source

MODULE = b'''"""Rates."""

import perennial.errors
from perennial.store.content_name import sha256

LIMIT = 3
"""Of rates."""


class Rates:
    """Rates by key."""

    def of(self, key):
        """Return the rate of a key."""
        return sha256(key) + 1  # one more
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"  # one more", b"  # another comment"),
        (b"import perennial", b"# a comment\nimport perennial"),
        (b'"""Rates."""', b'"""Other words, in\nthree\nlines."""'),
        (b'"""Rates."""\n', b""),
        (b'"""Of rates."""\n', b""),
        (b'"""Rates by key."""', b"'''Other words.'''"),
        (b'        """Return the rate of a key."""\n', b""),
        (b"sha256(key) + 1", b"(\n            sha256( key )\n            + 1\n        )"),
        (b"\n", b"\r\n"),
    ],
    ids=["comment", "new comment", "module", "no module's", "constant's", "class", "function", "layout", "line ends"],
)
def test_words_and_layout_do_not_count(old: bytes, new: bytes) -> None:
    changed = MODULE.replace(old, new)
    assert changed != MODULE
    assert read_source(changed) == read_source(MODULE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"+ 1", b"+ 2"),
        (b"+ 1", b"- 1"),
        (b"LIMIT = 3", b"LIMIT = 3.0"),
        (b"LIMIT = 3", b"LIMIT = '3'"),
        (b"of(self, key)", b"of(self, key=None)"),
        (b"    def of", b"    @staticmethod\n    def of"),
        (b"LIMIT = 3\n", b"LIMIT = 3\nOTHER = 'a text that is assigned'\n"),
        (b"return sha256(key) + 1", b"sha256(key) + 1"),
    ],
)
def test_everything_else_counts(old: bytes, new: bytes) -> None:
    changed = MODULE.replace(old, new)
    assert changed != MODULE
    assert read_source(changed).digest != read_source(MODULE).digest


def test_imports_are_found_wherever_they_are() -> None:
    source = read_source(
        b"import json\n"
        b"import perennial.errors as problems\n"
        b"def f():\n    from perennial.fingerprints.fingerprint import make_fingerprint as key\n"
        b"class C:\n    if True:\n        from perennial import calendar\n"
        b"try:\n    import perennial.config.derived\nexcept ImportError:\n    pass\n"
    )
    assert source.imports == (
        "perennial.calendar",
        "perennial.config.derived",
        "perennial.errors",
        "perennial.fingerprints.fingerprint.make_fingerprint",
    )


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_what_only_a_type_checker_reads_does_not_count(test: str) -> None:
    with_it = f"import typing\nif {test}:\n    import perennial.serve.app\nelse:\n    import perennial.errors\n".encode()
    without = b"import typing\nimport perennial.errors\n"
    assert read_source(with_it) == read_source(without)


def test_relative_imports_are_an_error() -> None:
    with pytest.raises(SyntaxError, match="line 2: a relative import"):
        read_source(b"\nfrom . import keys\n")
