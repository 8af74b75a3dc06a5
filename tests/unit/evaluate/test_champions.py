"""The account of a date's champion: which version, since when, and what is barred by whom."""

from __future__ import annotations

from datetime import date

import pytest

from perennial.evaluate.chain import DEPLOY, Chain, Entry, Intervention, Model, enter, intervene
from perennial.evaluate.champions import barred_versions, champion_of, champions, describe_bar, facts

D1, D2, D3, D4 = (date(2013, 2, day) for day in (12, 13, 14, 15))


def decided(*days: tuple[date, str, str | None, str | None]) -> Chain:
    chain = Chain()
    for day, decision, version, was in days:
        left = Model(version, f"s3://lake/{version}.json") if version else None
        chain = enter(chain, day, Entry(decision, "s3://x", "key", left, was, None, False, "run", "2013-02-12T00:00:00"))
    return chain


def bar(chain: Chain, day: date, version: str, who: str = "ann", reason: str = "it lied") -> Chain:
    return intervene(chain, Intervention(day.isoformat(), "release", version, who, reason, "2013-02-16T00:00:00"))


TWO = decided((D1, "PROMOTE", "a", None), (D2, "PROMOTE", "b", "a"), (D3, "HOLD", "b", "b"))


def test_a_champion_is_told_with_the_date_that_promoted_it():
    assert [(one.version, one.why) for one in champions(TWO, [D1, D2, D3])] == [
        ("a", f"promoted on {D1}"),
        ("b", f"promoted on {D2}"),
        ("b", f"promoted on {D2}; the HOLD of {D3} kept it"),
    ]
    assert champion_of(TWO, D4).why == f"promoted on {D2}"
    assert not any(one.note for one in champions(TWO, [D1, D2, D3, D4]))


def test_after_a_rollback_the_date_says_who_is_champion_again_and_why():
    """Case 17."""
    chain = bar(TWO, D3, "b")
    left = champion_of(chain, D3)
    assert (left.version, left.named, left.decision) == ("a", "b", "HOLD")
    assert left.why == left.note == f"champion again, promoted on {D1}: b is barred from {D3} on, rolled back by ann: it lied"
    assert champion_of(chain, D2).version == "b", "the bar counts from the date that was rolled back on"
    told = facts(left)
    assert (told["champion"], told["note"], told["barred"][0]["who"]) == ("a", left.note, "ann")


def test_a_hold_after_a_rollback_leaves_the_date_that_promoted_the_champion():
    first = decided((D1, "PROMOTE", "a", None), (D2, "PROMOTE", "b", "a"))
    chain = bar(first, D2, "b")
    for day in (D3, D4):
        chain = enter(
            chain, day, Entry("HOLD", "s3://x", "key", Model("a", "s3://a"), "a", None, False, "run", "2013-02-17T00:00:00")
        )
    for day in (D3, D4):
        left = champion_of(chain, day)
        assert (left.version, left.since, left.passed_over) == ("a", D1, ()), day
        assert left.why == f"promoted on {D1}; the HOLD of {day} kept it"


def test_when_every_version_is_barred_that_is_the_reason_and_not_the_gate():
    chain = bar(bar(TWO, D3, "b"), D3, "a", DEPLOY, "golden request 0: probability 0.9, expected 0.1\nmore")
    left = champion_of(chain, D3)
    assert left.version is None
    assert left.why == (
        f"every version that passed the gate is barred: b is barred from {D3} on, rolled back by ann: it lied; "
        f"a is barred from {D3} on, its release failed: golden request 0: probability 0.9, expected 0.1"
    )
    assert champion_of(decided((D1, "REJECT", None, None)), D1).why == "no version has passed the gate yet"


def test_a_version_that_was_barred_twice_is_barred_from_the_earlier_date():
    chain = bar(bar(TWO, D3, "b", reason="later"), D2, "b", reason="earlier")
    assert barred_versions(chain)["b"].reason == "earlier"
    assert barred_versions(chain, D1) == {}
    assert champion_of(chain, D2).version == "a"


@pytest.mark.parametrize("reason", ["", "x" * 500, "word " * 100])
def test_a_cause_is_one_short_line(reason: str):
    (item,) = bar(TWO, D3, "b", reason=reason).interventions
    assert len(describe_bar(item)) < 300
    assert "\n" not in describe_bar(item)


def test_a_force_after_a_rollback_is_the_champion():
    chain = enter(
        bar(TWO, D3, "b"),
        D3,
        Entry("PROMOTE", "s3://x", "k", Model("c", "s3://c"), "b", None, False, "run", "2013-02-17T00:00:00"),
    )
    assert (champion_of(chain, D3).version, champion_of(chain, D3).note) == ("c", "")
