"""What has changed since a decision: a category and the thing, for each candidate and for the gate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from lab import LAST, Lab

from perennial.evaluate import recorded
from perennial.evaluate.changes import GATE, changes_between, describe
from perennial.evaluate.evaluate import evaluate
from perennial.evaluate.recorded import changes_since
from perennial.fingerprints.fingerprint import Category, StaleCause, make_fingerprint
from perennial.train.plan import TrainingPlan

DAY = LAST - timedelta(days=1)


def key(stage: str = "train", **changed: object) -> str:
    parts = {"code": "c", "data": {"d": 1}, "configuration": {"c": 1}, "libraries": {"l": "1"}, "dependencies": {"b": None}}
    return make_fingerprint(stage, of={}, **{**parts, **changed})  # type: ignore[arg-type]


def plan(candidate: str, key: str, *, unchanged: bool = True) -> TrainingPlan:
    return TrainingPlan(candidate, None, None, f"m/{key}.json", unchanged=unchanged, key=key)


GATE_KEY = key("evaluate")
OTHER_MODELS = key("evaluate", dependencies={"b": 1})


@pytest.mark.parametrize(
    ("plans", "todays", "expected"),
    [
        ([plan("mlp", key()), plan("logistic", key())], GATE_KEY, []),
        (
            [plan("mlp", key(code="d"), unchanged=False), plan("logistic", key())],
            OTHER_MODELS,
            [StaleCause(Category.CODE, "candidate mlp")],
        ),
        (
            [plan(name, key(data={"d": 2}, libraries={"l": "2"})) for name in ("mlp", "logistic")],
            OTHER_MODELS,
            [
                StaleCause(cause, f"candidate {name}")
                for name in ("mlp", "logistic")
                for cause in (Category.DATA, Category.LIBRARIES)
            ],
        ),
        ([plan("mlp", key())], OTHER_MODELS, [StaleCause(Category.CONFIGURATION, "candidate logistic")]),
        (
            [plan("mlp", key(), unchanged=False), plan("logistic", key())],
            GATE_KEY,
            [StaleCause(Category.DEPENDENCIES, "candidate mlp")],
        ),
        (
            [plan("mlp", key()), plan("logistic", key())],
            key("evaluate", code="d", configuration={"c": 2}),
            [StaleCause(Category.CODE, GATE), StaleCause(Category.CONFIGURATION, GATE)],
        ),
        ([plan("mlp", key()), plan("logistic", key())], OTHER_MODELS, [StaleCause(Category.DEPENDENCIES, GATE)]),
    ],
    ids=["nothing", "code", "data and libraries", "a candidate less", "a model that is gone", "the gate", "its incumbent"],
)
def test_the_category_and_the_thing_are_told(plans: list[TrainingPlan], todays: str, expected: list[StaleCause]) -> None:
    assert list(changes_between({"mlp": key(), "logistic": key()}, plans, GATE_KEY, todays)) == expected


def test_a_decision_of_an_earlier_perennial_is_one_of_other_code() -> None:
    found = changes_between({"mlp": None}, [plan("mlp", key())], "0" * 64, GATE_KEY)
    assert describe(found) == "code of candidate mlp and the gate"


def test_changes_in_words() -> None:
    changes = [
        StaleCause(Category.CODE, "candidate mlp"),
        StaleCause(Category.DATA, "candidate mlp"),
        StaleCause(Category.CODE, GATE),
    ]
    assert describe(changes) == "code of candidate mlp and the gate, data of candidate mlp"


def test_the_recorded_decision_is_compared_with_today(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.train("mlp", DAY, 0.1)
    lab.train("logistic", DAY, 0.06)
    evaluate(lab.lake, DAY, run_id="r")
    assert changes_since(lab.lake, DAY) == ()
    monkeypatch.setattr(
        recorded,
        "decision_fingerprint",
        lambda *_, found=recorded.decision_fingerprint: found(*_)[:65] + "0" * 8 + found(*_)[73:],
    )
    assert changes_since(lab.lake, DAY) == (StaleCause(Category.CODE, GATE),)
