"""The chain: what a date is judged against is a function of the decided dates, never of the order in which they were decided."""

from __future__ import annotations

import itertools
import json
from datetime import date

import pytest

from perennial.evaluate.chain import (
    Chain,
    Entry,
    Intervention,
    Model,
    anchor,
    enter,
    from_json,
    incumbent,
    intervene,
    is_barred,
    to_json,
)
from perennial.evaluate.champions import champion_of

D1, D2, D3, D4 = (date(2013, 2, day) for day in (12, 13, 14, 15))


def champion(chain: Chain, day: date) -> Model | None:
    return champion_of(chain, day).model


def model(version: str) -> Model:
    return Model(version, f"s3://lake/models/{version}.json")


def entry(version: str | None, *, was: str | None = None, base: str | None = None, sets_anchor: bool = False) -> Entry:
    left = model(version) if version else None
    return Entry("PROMOTE", "s3://lake/decisions/x.json", "key", left, was, base, sets_anchor, "run", "2013-02-12T00:00:00")


def bar(day: date, version: str | None) -> Intervention:
    return Intervention(day.isoformat(), "release", version, "ann", "it lied", "2013-02-12T00:00:00")


def walk(days: dict[date, Entry], order: tuple[date, ...]) -> Chain:
    chain = Chain()
    for day in order:
        chain = enter(chain, day, days[day])
    return chain


def test_the_incumbent_is_what_the_dates_strictly_before_leave():
    chain = enter(enter(Chain(), D1, entry("a")), D2, entry("b", was="a"))
    assert incumbent(chain, D1) is None
    assert incumbent(chain, D2) == model("a")
    assert incumbent(chain, D3) == champion(chain, D2) == model("b")


def test_a_decision_without_a_champion_leaves_the_one_before():
    chain = enter(enter(Chain(), D1, entry("a")), D2, entry(None))
    assert champion(chain, D2) == model("a")


def test_a_rerun_of_a_date_is_not_its_own_incumbent():
    chain = enter(enter(Chain(), D1, entry("a")), D2, entry("b", was="a"))
    assert incumbent(chain, D2) == model("a")
    again = enter(chain, D2, entry("c", was="a"))
    entered = again.get(D2)
    assert entered is not None
    assert entered.revision == 2
    assert champion(again, D2) == model("c")


def test_the_chain_does_not_depend_on_the_order_of_writing():
    days = {D1: entry("a"), D2: entry("b", was="a"), D3: entry("b", was="b"), D4: entry("c", was="b")}
    chains = [walk(days, order) for order in itertools.permutations(days)]
    assert all(to_json(chain) == to_json(chains[0]) for chain in chains)
    assert not any(e.stale for e in chains[0].entries.values())


def test_an_old_date_decided_otherwise_makes_later_ones_stale_until_they_are_decided_again():
    chain = walk({D1: entry("a"), D2: entry("b", was="a"), D3: entry("b", was="b")}, (D1, D2, D3))
    changed = enter(chain, D1, entry("z"))
    assert [changed.entries[str(d)].stale for d in (D1, D2, D3)] == [False, True, False]
    mended = enter(changed, D2, entry("b", was="z"))
    assert not any(e.stale for e in mended.entries.values())


def test_a_barred_version_is_neither_champion_nor_incumbent_afterwards():
    chain = walk({D1: entry("a"), D2: entry("b", was="a"), D3: entry("b", was="b")}, (D1, D2, D3))
    chain = intervene(chain, bar(D2, "b"))
    assert champion(chain, D2) == champion(chain, D3) == model("a")
    assert incumbent(chain, D3) == incumbent(chain, D4) == model("a")
    assert is_barred(chain, "b", D2)
    assert not is_barred(chain, "b", D1)
    assert chain.entries[str(D3)].stale, "the next HOLD rests on a version that does not serve"


def test_a_replay_of_a_date_knows_the_interventions_before_it_and_none_later():
    chain = walk({D1: entry("a"), D2: entry("b", was="a")}, (D1, D2))
    barred_later = intervene(chain, bar(D3, "b"))
    assert incumbent(barred_later, D3) == model("b")
    assert incumbent(barred_later, D4) == model("a")


def test_an_intervention_that_bars_nothing_changes_no_champion():
    chain = intervene(enter(Chain(), D1, entry("a")), bar(D1, None))
    assert champion(chain, D1) == model("a")


def test_when_everything_is_barred_there_is_no_champion():
    assert champion(intervene(enter(Chain(), D1, entry("a")), bar(D1, "a")), D1) is None


def test_the_anchor_is_the_last_version_that_set_one():
    days = {
        D1: entry("a", sets_anchor=True),
        D2: entry("b", was="a", base="a"),
        D3: entry("c", was="b", base="a", sets_anchor=True),
    }
    chain = walk(days, (D1, D2, D3))
    assert anchor(chain, D1) is None
    assert anchor(chain, D3) == model("a")
    assert anchor(chain, D4) == model("c")
    assert anchor(intervene(chain, bar(D3, "c")), D4) == model("a")


def test_the_stored_form_survives_a_round_trip():
    chain = intervene(walk({D1: entry("a"), D2: entry(None, was="a")}, (D2, D1)), bar(D1, "a"))
    assert from_json(json.loads(json.dumps(to_json(chain)))) == chain


def test_another_format_is_refused():
    with pytest.raises(ValueError, match="format 2, expected 1"):
        from_json({"format": 2, "entries": {}, "interventions": []})
