"""A landed date with too little history to train is not the newest: older dates do not wait for a decision that it never gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from lab import LAST, START, Lab, of_one_class
from scripted_runtime import ScriptedRuntime
from steps import D1, D2, D3, decide

from perennial.backfill.plan import plan_history
from perennial.calendar import DAY, days
from perennial.collect.collect import collect
from perennial.deploy.deploy import deploy, is_current
from perennial.deploy.newest import Later, is_newest
from perennial.deploy.standing import read_standing
from perennial.errors import DropRefusedError
from perennial.evaluate.chain import Chain
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.evaluate import evaluate
from perennial.lake.result import Skipped
from perennial.runtime.choice import open_trainer
from perennial.stages import Run, stage_named
from perennial.store.objects import Objects
from perennial.train.work import plan_work

# The feed pauses after the lab's dates: none of them is in the history of these.
MIN_DAYS = 8
ENOUGH = LAST + timedelta(days=30)
FIRST = ENOUGH - timedelta(days=MIN_DAYS - 1)
SECOND = FIRST + timedelta(days=1)


@pytest.fixture
def land(lab: Lab, s3: Any, land_drops: Callable[..., None]) -> Callable[[date, date], None]:
    return lambda first, last: land_drops(s3.put, lab.pipeline, first, last)


def test_the_date_before_one_that_training_skips_is_released(
    lab: Lab, runtime: ScriptedRuntime, land: Callable[[date, date], None]
) -> None:
    land(FIRST, SECOND)
    decide(lab, D1)
    assert not is_current(lab.lake, D1, runtime), "it has yet to be released"
    found = deploy(lab.lake, D1, runtime)
    told = f"{SECOND}: insufficient history to train, 2 of {MIN_DAYS} days, and 1 more before it"
    assert (found.outcome, found.note) == ("done", f"later dates do not count ({told}), so {D1} is the newest date")
    now = read_standing(lab.lake)
    reasons = {day: f"insufficient history to train, {n} of {MIN_DAYS} days" for day, n in ((FIRST, 1), (SECOND, 2))}
    assert (now.later, now.behind) == (Later(untrained=reasons), "")
    assert ("untrained", f"{told}. It is not the newest date") in now.lines()


def test_many_dates_with_insufficient_history_cost_the_listings_of_one(
    lab: Lab, land: Callable[[date, date], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    listing = Objects.listing
    monkeypatch.setattr(Objects, "listing", lambda self, prefix: listed.append(prefix) or listing(self, prefix))

    def count_listings(last: date) -> int:
        land(FIRST, last)
        for day in days(FIRST, last):
            collect(lab.lake, day)
        listed.clear()
        assert is_newest(lab.lake, Chain(), D1)
        return len(listed)

    one = count_listings(FIRST)
    assert 0 < count_listings(FIRST + timedelta(days=MIN_DAYS - 2)) <= one


def test_once_its_gaps_are_filled_the_date_before_waits_for_it(
    lab: Lab, runtime: ScriptedRuntime, land: Callable[[date, date], None]
) -> None:
    """That no run has read them plays no part: a backfill may run the dates in any order."""
    land(ENOUGH, ENOUGH)
    assert is_newest(lab.lake, Chain(), D1)
    land(FIRST, ENOUGH)
    decide(lab, D1)
    assert deploy(lab.lake, D1, runtime).reason.startswith(f"{D1} is not the newest date: {ENOUGH} has landed")
    assert read_standing(lab.lake).later == Later(waiting=ENOUGH)


def skip(lab: Lab, day: date) -> None:
    """Train a date whose window has one class."""
    for candidate in lab.pipeline.training.candidates:
        _, training = plan_work(lab.lake, day, candidate)
        assert training is not None
        open_trainer(lab.lake).train(training)


def test_the_date_before_one_whose_window_has_one_class_is_released(
    lab: Lab, runtime: ScriptedRuntime, land: Callable[[date, date], None]
) -> None:
    land(START, LAST)
    lab.write_table("features", of_one_class(LAST), "date")
    for day in (D1, D2, D3):
        decide(lab, day)
    assert deploy(lab.lake, D3, runtime).reason.startswith(f"{D3} is not the newest date: {LAST} has landed")
    skip(lab, LAST)
    skipped = evaluate(lab.lake, LAST, run_id="run")
    assert isinstance(skipped, Skipped)
    assert skipped.reason.startswith("the training window has 480 rows, all of them negative")
    assert not is_newest(lab.lake, read_chain(lab.lake), D3), "its rows may come out otherwise: what has landed is not collected"
    lab.settle(LAST)
    found = deploy(lab.lake, D3, runtime)
    assert found.outcome == "done"
    assert f"{LAST}: insufficient history to train, {skipped.reason}" in found.note
    plan = plan_history(lab.lake, D1, LAST)
    assert (plan.young, plan.deploys) == ((LAST,), D3)
    assert all(last < LAST for _, last in plan.batches)
    train = stage_named("train").find(Run(lab.lake, LAST, "run"), lab.lake)
    assert train == Skipped(reason=skipped.reason)


def test_the_plan_of_a_backfill_names_the_date_that_it_deploys(lab: Lab, land: Callable[[date, date], None]) -> None:
    land(D1, D1)
    land(FIRST, SECOND)
    assert plan_history(lab.lake, D1, SECOND).deploys == D1


def test_the_plan_of_a_backfill_knows_whether_the_newest_date_serves(
    lab: Lab, runtime: ScriptedRuntime, land: Callable[[date, date], None]
) -> None:
    land(START, D1)
    lab.settle(D1)
    decide(lab, D1)
    before = plan_history(lab.lake, D1, D1)
    assert (before.newest, before.serves) == (D1, False)
    assert deploy(lab.lake, D1, runtime).outcome == "done"
    after = plan_history(lab.lake, D1, D1, only_stale=True)
    assert (after.newest, after.deploys, after.serves) == (D1, None, True), "it does not run again"
    land(D2, D2)
    assert plan_history(lab.lake, D1, D1).newest is None


def test_a_refused_drop_of_its_history_is_a_gap(lab: Lab, s3: Any, land: Callable[[date, date], None]) -> None:
    land(FIRST, ENOUGH)
    assert not is_newest(lab.lake, Chain(), D1)
    s3.put(lab.pipeline.sources["readings"].drop_uri(SECOND) + "readings-1.csv", b"half")
    with pytest.raises(DropRefusedError):
        collect(lab.lake, SECOND)
    assert is_newest(lab.lake, Chain(), D1)


def test_the_plan_of_a_backfill_does_not_deploy_a_refused_date(lab: Lab, s3: Any, land: Callable[[date, date], None]) -> None:
    land(FIRST - DAY, ENOUGH)
    s3.put(lab.pipeline.sources["readings"].drop_uri(ENOUGH) + "readings-1.csv", b"half")
    with pytest.raises(DropRefusedError):
        collect(lab.lake, ENOUGH)
    assert plan_history(lab.lake, D1, ENOUGH).deploys == ENOUGH - DAY
