"""Causes are found by trying the known recipes, and named by the thing itself."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from typing import Any

import pytest

from perennial.fingerprints import recipes
from perennial.fingerprints.causes import differences, explain
from perennial.fingerprints.fingerprint import Category, Fingerprint, StaleCause, make_fingerprint, marks_of
from perennial.fingerprints.recipes import Recipe, recipe_of

MODULES = {"old": {"perennial.a": "1", "perennial.b": "1"}, "new": {"perennial.a": "1", "perennial.b": "2"}}


@pytest.fixture(autouse=True)
def known_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "modules_behind", MODULES.__getitem__)


def key(code: str = "old", data: str = "d1", spark: str = "4.1.4", **configuration: Any) -> Fingerprint:
    return make_fingerprint(
        "clean",
        of={"day": "2026-03-01"},
        code=code,
        data={"files": data},
        configuration={"sql": "s1", **configuration},
        libraries={"spark": spark},
    )


@pytest.mark.parametrize(
    ("now", "causes"),
    [
        (key(code="new"), [StaleCause(Category.CODE, "perennial.b changed")]),
        (key(sql="s2"), [StaleCause(Category.CONFIGURATION, "sql changed")]),
        (key(unique=["id"]), [StaleCause(Category.CONFIGURATION, "unique added")]),
        (key(spark="4.2.0"), [StaleCause(Category.LIBRARIES, "spark 4.1.4 → 4.2.0")]),
        (
            key(code="new", sql="s2"),
            [StaleCause(Category.CODE, "perennial.b changed"), StaleCause(Category.CONFIGURATION, "sql changed")],
        ),
    ],
    ids=["code", "configuration", "added", "library", "two"],
)
def test_what_changed_is_named(now: Fingerprint, causes: list[StaleCause]) -> None:
    before = key()
    assert explain(now, before, [recipe_of(before)]) == causes


def test_the_recipe_that_made_it_is_found_among_others() -> None:
    before, between = key(), key(sql="s2")
    assert explain(key(sql="s3", code="new"), between, [recipe_of(before), recipe_of(between)]) == [
        StaleCause(Category.CODE, "perennial.b changed"),
        StaleCause(Category.CONFIGURATION, "sql changed"),
    ]


def test_other_data_is_told_apart_from_another_recipe() -> None:
    before = key()
    assert explain(key(data="d2"), before, [recipe_of(before)]) == [StaleCause(Category.DATA)]
    assert explain(key(data="d2", sql="s2"), before, [recipe_of(before)]) == [
        StaleCause(Category.DATA),
        StaleCause(Category.CONFIGURATION, "sql changed"),
    ]


def test_without_a_recipe_the_category_is_known() -> None:
    assert explain(key(sql="s2"), key(), []) == [StaleCause(Category.CONFIGURATION)]


def test_a_key_is_a_plain_text_that_knows_its_parts() -> None:
    made = key()
    assert (made, hash(made)) == (str(made), hash(str(made)))
    assert type(copy.deepcopy(made)) is str
    assert copy.deepcopy(made) == made
    assert made.parts.configuration == {"sql": "s1"}


def test_a_recipe_survives_its_stored_form() -> None:
    now = key(columns=[["a", {"type": "date"}]])
    made = recipe_of(now)
    stored = Recipe(**json.loads(json.dumps(asdict(made))))
    assert stored == made
    assert stored.texts()[Category.CONFIGURATION][0] == marks_of(now)[Category.CONFIGURATION]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, ["a removed", "b changed", "c added"]),
        ([["id", "x"], ["n", "y"]], [["n", "y"], ["id", "x"]], ["columns in another order"]),
        ([["id", {"type": "double"}]], [["id", {"type": "integer"}]], ["columns.id.type changed"]),
        (["id"], ["id", "day"], ["columns.day added"]),
        ([], [["id", "x"]], ["columns.id added"]),
        (None, "text", ["columns changed"]),
    ],
    ids=["same", "mapping", "order", "nested", "names", "from empty", "null"],
)
def test_differences_are_dotted_names(old: Any, new: Any, found: list[str]) -> None:
    if isinstance(old, dict):
        assert differences(old, new) == found
    else:
        assert differences({"columns": old}, {"columns": new}) == found
