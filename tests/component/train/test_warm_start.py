"""
Trainings that begin with the weights of the date before.

The tests check what a date depends on, and that it comes out the same however it is computed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from lab import LAST, START, Lab, of_one_class

from perennial.calendar import days
from perennial.lake.lake import Lake
from perennial.lake.tables import Partition, TableState
from perennial.runtime.process_training import train, trainers_at_once
from perennial.train.plan import plan_ahead, plan_training, warm_start_origins
from perennial.train.trainings import BLOCK, read_model

pytestmark = pytest.mark.tensorflow

TRAINABLE = START + timedelta(days=7)  # the first date with eight days of history
BEGIN = max(TRAINABLE, LAST - timedelta(days=LAST.toordinal() % BLOCK))
CHAIN = list(days(BEGIN, LAST))


@pytest.fixture
def warm(lab: Lab) -> Lake:
    """The lab's lake, its network trained from day to day."""
    training = lab.pipeline.training.model_copy(update={"warm_start": True})
    return replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"training": training}))


def model(lake: Lake, day: date) -> dict[str, Any]:
    return read_model(lake, str(plan_training(lake, day, "mlp").manifest_uri))


def test_a_date_alone_trains_what_it_begins_with_and_each_comes_out_the_same_again(warm: Lake) -> None:
    plan = plan_training(warm, LAST, "mlp")
    assert len(plan.before) == len(CHAIN) - 1 > 2
    train(plan.jobs)

    models = [model(warm, day) for day in CHAIN]
    manifests = [plan_training(warm, day, "mlp").manifest_uri for day in CHAIN]
    assert [one["begins"] for one in models] == [None, *manifests[:-1]]
    for day in CHAIN[-2:]:
        again = plan_training(warm, day, "mlp", recompute=True)
        assert again.before == ()
        train(again.jobs)  # refused, should a bit of it differ
    assert len({one["files"]["weights.safetensors"]["sha256"] for one in models}) == len(CHAIN)


def test_jobs_ahead_are_each_once_and_in_order(warm: Lake) -> None:
    first = plan_training(warm, BEGIN, "mlp")
    ahead = plan_ahead(warm, BEGIN, LAST, "mlp")
    assert list(dict.fromkeys([*first.jobs, *ahead])) == plan_training(warm, LAST, "mlp").jobs
    assert trainers_at_once(warm.pipeline.training, 1000) == 1


def test_a_date_rests_on_all_that_its_chain_rests_on(warm: Lake, lab: Lab) -> None:
    warm_key, cold_key = (plan_training(lake, LAST, "mlp").key for lake in (warm, lab.lake))
    state = lab.lake.tables.state("features")
    seen = {d.isoformat() for d in days(LAST - timedelta(days=10), LAST)}
    other = min(day for day in state.partitions if day not in seen)  # in the window of an earlier date alone
    changed = {**state.partitions, other: replace(state.partitions[other], digest="other")}
    lab.lake.tables.states["features"] = replace(state, partitions=changed)  # type: ignore[attr-defined]
    assert plan_training(warm, LAST, "mlp").key != warm_key
    assert plan_training(lab.lake, LAST, "mlp").key == cold_key
    assert warm_start_origins(warm, [BEGIN, LAST]) == {BEGIN: BEGIN, LAST: BEGIN}
    assert warm_start_origins(lab.lake, [BEGIN, LAST]) == {BEGIN: BEGIN, LAST: LAST}


def test_a_date_after_one_of_one_class_begins_with_random_weights(warm: Lake, lab: Lab) -> None:
    before = LAST - timedelta(days=1)
    lab.write_table("features", of_one_class(before), "date")
    train(plan_training(warm, LAST, "mlp").jobs)
    assert "all of them negative" in str(plan_training(warm, before, "mlp").skipped)
    assert "skipped" not in model(warm, LAST)
    train(plan_training(warm, LAST, "mlp", recompute=True).jobs)  # refused, should a bit of it differ


def test_a_chain_goes_on_over_labels_from_before_an_edit(warm: Lake, lab: Lab) -> None:
    """An edit gave the label another type, and only the labels that LAST needs were made again."""
    label = warm.pipeline.label.model_copy(update={"known_after_days": 1})
    later = replace(warm, pipeline=warm.pipeline.model_copy(update={"label": label}))
    again = START + timedelta(days=2)  # the first day of its window
    made = {str(day): Partition("key", f"labels of {day}", 1) for day in days(START, LAST - timedelta(days=1))}
    state = TableState("labels", "s3://x/meta", 1, made, frozenset(str(day) for day in days(START, again - timedelta(days=1))))
    lab.lake.tables.states["labels"] = state  # type: ignore[attr-defined]
    first = max(BEGIN, again + timedelta(days=8))  # eight days of whole labels
    assert len(plan_training(later, LAST, "mlp").before) == (LAST - first).days > 0


def test_each_block_begins_anew_and_a_date_without_features_is_passed_over(warm: Lake, lab: Lab) -> None:
    state = lab.lake.tables.state("features")
    gap = CHAIN[-2]
    kept = {day: found for day, found in state.partitions.items() if day != gap.isoformat()}
    lab.lake.tables.states["features"] = replace(state, partitions=kept)  # type: ignore[attr-defined]
    assert len(plan_training(warm, LAST, "mlp").before) == len(CHAIN) - 2
    assert plan_training(warm, BEGIN, "mlp").before == ()
    assert plan_training(warm, LAST, "logistic").before == ()
    for earlier, later in pairwise(CHAIN):
        assert later.toordinal() // BLOCK == earlier.toordinal() // BLOCK
