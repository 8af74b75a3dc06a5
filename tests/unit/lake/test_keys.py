"""Keys: equal for equal inputs, different for every difference that decides a result."""

from __future__ import annotations

import pytest

from perennial.lake.keys import code_digest, library_versions, make_key, text_digests


def test_key_does_not_depend_on_the_order_of_its_parts() -> None:
    assert make_key("s", a=1, b={"x": 1, "y": 2}) == make_key("s", b={"y": 2, "x": 1}, a=1)


@pytest.mark.parametrize(
    "other",
    [
        make_key("t", a=1, b=None),
        make_key("s", a=2, b=None),
        make_key("s", a="1", b=None),
        make_key("s", a=1),
        make_key("s", a=1, b=[]),
    ],
)
def test_every_difference_shows(other: str) -> None:
    assert make_key("s", a=1, b=None) != other


def test_code_digest_covers_rooms_and_modules() -> None:
    both = code_digest("collect", "errors.py")
    assert both == code_digest("errors.py", "collect")
    assert len({both, code_digest("collect"), code_digest("errors.py")}) == 3


def test_code_digest_of_nothing_is_an_error() -> None:
    with pytest.raises((ValueError, FileNotFoundError)):
        code_digest("no_such_room.py")


def test_library_versions_are_sorted() -> None:
    assert list(library_versions("pydantic", "boto3")) == ["boto3", "pydantic"]


def test_text_digests() -> None:
    assert text_digests([("a", "x")]) == {"a": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
