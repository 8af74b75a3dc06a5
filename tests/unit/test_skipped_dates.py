"""
A date whose training was skipped because its window had rows of one label only, on a real object store.

The reason counts until something changes that the rows depend on; then the date has to run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import returned_orders
from lab import FixedTables, Lab

from perennial.backfill.plan import plan_history
from perennial.calendar import days
from perennial.config.load import FILE, read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.deploy.newest import Later, later_drops
from perennial.evaluate.chain import Chain, Entry, enter
from perennial.evaluate.chain_store import update_chain
from perennial.freshness.stale import Status, stale_dates
from perennial.lake.lake import Lake
from perennial.store.content_name import canonical_json
from perennial.train.plan import plan_training

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 8)
EARLIER = date(2026, 3, 7)
IN_WINDOW = date(2026, 3, 3)
REASON = "the training window has 480 rows, all of them negative"


@pytest.fixture
def skipped(s3: Any, pipeline_factory: Callable[..., Pipeline]) -> Lake:
    """Return a lake as the run of LAST leaves it, whose training found one label only."""
    pipeline = pipeline_factory(name="returned_orders")
    lake = replace(s3.open_lake(pipeline), tables=FixedTables())
    for day in days(FIRST, LAST):
        returned_orders.land(s3.put, pipeline, day)
    Lab(lake, None).settle(LAST)  # type: ignore[arg-type]
    plan = plan_training(lake, LAST, "logistic")
    lake.objects.create(str(plan.manifest_uri), canonical_json({"skipped": REASON}))
    return lake


def correct(lake: Lake, s3: Any, file: str, old: str, new: str) -> Lake:
    """Return the lake after a correction: of a file of the pipeline, or of a drop."""
    if file == "drop":
        returned_orders.land(s3.put, lake.pipeline, IN_WINDOW, lost_share=0.5)
        return lake
    path = lake.pipeline.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return replace(lake, pipeline=read_pipeline(lake.pipeline.folder / FILE))


CORRECTIONS = pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("labels.sql", "COUNT(r.order_id) > 0", "COUNT(r.order_id) >= 1"),
        ("features.sql", "o.price IS NOT NULL", "o.price > 0"),
        (FILE, "max_length: 20", "max_length: 21"),
        (FILE, "positive: true", "positive: false"),
        ("drop", "", ""),
    ],
    ids=["labels.sql", "features.sql", "contract", "positive", "drop"],
)


def test_the_reason_of_a_skipped_training_counts_while_nothing_has_changed(skipped: Lake) -> None:
    plan = plan_history(skipped, LAST, LAST)
    assert (plan.young, plan.batches, plan.deploys) == ((LAST,), (), None)
    assert later_drops(skipped, Chain(), EARLIER) == Later(untrained={LAST: f"insufficient history to train, {REASON}"})


@CORRECTIONS
def test_a_skipped_date_is_to_run_again_once_its_cause_may_be_corrected(
    skipped: Lake, s3: Any, file: str, old: str, new: str
) -> None:
    lake = correct(skipped, s3, file, old, new)
    plan = plan_history(lake, LAST, LAST)
    assert (plan.young, plan.batches, plan.deploys) == ((), ((LAST, LAST),), LAST)
    assert later_drops(lake, Chain(), EARLIER) == Later(waiting=LAST)


@CORRECTIONS
def test_a_decided_date_that_was_skipped_since_is_stale_once_its_cause_may_be_corrected(
    skipped: Lake, s3: Any, file: str, old: str, new: str
) -> None:
    decision = skipped.layout.decision(LAST, "0" * 64)
    skipped.objects.create(decision, canonical_json({"candidates": [{"name": "logistic", "training": "earlier"}]}))
    entry = Entry("HOLD", decision, "key", None, None, None, sets_anchor=False, run_id="r", at="2026-03-09")
    update_chain(skipped, lambda chain: enter(chain, LAST, entry))
    (blocked,) = stale_dates(skipped).values()
    assert (blocked.status, blocked.reason) == (Status.BLOCKED, f"its history is no longer sufficient: {REASON}")

    (stale,) = stale_dates(correct(skipped, s3, file, old, new)).values()

    assert stale.status is Status.STALE
    assert REASON not in stale.reason
