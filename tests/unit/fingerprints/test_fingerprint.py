"""Fingerprints: equal for equal inputs, different for every difference that decides a result."""

from __future__ import annotations

from typing import Any

import pytest

from perennial.fingerprints.fingerprint import Category, causes, library_versions, make_fingerprint

PARTS: dict[str, Any] = {
    "of": {"date": "2013-03-01"},
    "code": "c",
    "data": {"files": [["a", "1"]], "rows": 2},
    "configuration": {"sql": None},
    "libraries": {"spark": "4"},
    "dependencies": {"begins": None},
}


def test_key_does_not_depend_on_the_order_of_its_parts() -> None:
    turned = {name: dict(reversed(part.items())) if isinstance(part, dict) else part for name, part in reversed(PARTS.items())}
    assert make_fingerprint("s", **turned) == make_fingerprint("s", **PARTS)


@pytest.mark.parametrize(
    "change",
    [
        {"of": {"date": "2013-03-02"}},
        {"of": {"as_of": "2013-03-01"}},
        {"code": "d"},
        {"data": {"files": [["a", "1"]], "rows": "2"}},
        {"data": {"files": [["a1", ""]], "rows": 2}},
        {"data": {"files": [["a", "1"]]}},
        {"configuration": {"sql": ""}},
        {"configuration": {}},
        {"libraries": {"spark": "4.0"}},
        {"dependencies": {"begins": "k"}},
        {"configuration": {}, "dependencies": {"begins": None, "sql": None}},
    ],
)
def test_every_difference_shows(change: dict[str, Any]) -> None:
    assert make_fingerprint("s", **{**PARTS, **change}) != make_fingerprint("s", **PARTS)


def test_the_stage_shows() -> None:
    assert make_fingerprint("t", **PARTS) != make_fingerprint("s", **PARTS)


def test_library_versions_are_sorted() -> None:
    assert list(library_versions("pydantic", "boto3")) == ["boto3", "pydantic"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"code": "d"}, [Category.CODE]),
        ({"data": {}, "libraries": {"spark": "5"}}, [Category.DATA, Category.LIBRARIES]),
        ({"configuration": {"sql": "s"}}, [Category.CONFIGURATION]),
        ({"dependencies": {"begins": "k"}}, [Category.DEPENDENCIES]),
    ],
)
def test_two_keys_tell_in_what_they_differ(change: dict[str, Any], expected: list[Category]) -> None:
    assert list(causes(make_fingerprint("s", **PARTS), make_fingerprint("s", **{**PARTS, **change}))) == expected


def test_a_key_that_does_not_tell_is_of_other_code() -> None:
    """Such are the keys of results that are older than these categories."""
    assert causes("0" * 64, make_fingerprint("s", **PARTS)) == (Category.CODE,)
