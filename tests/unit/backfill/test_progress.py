"""The progress of a backfill: it moves with the decisions and models that appear in a real object store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError

from perennial.backfill.plan import HistoryPlan
from perennial.backfill.progress import MIN_IDLE_LOOKS, Progress, Tracker
from perennial.calendar import DAY, days, midnight
from perennial.commands.backfill import _progress_text
from perennial.errors import UnreachableError
from perennial.evaluate.chain import Entry, enter
from perennial.evaluate.chain_store import update_chain
from perennial.lake.lake import Lake

FIRST = date(2026, 3, 1)
LAST = FIRST + 9 * DAY
BEGAN = datetime.now(UTC) - timedelta(minutes=1)
CHUNKS = ((FIRST + DAY, FIRST + 4 * DAY), (FIRST + 6 * DAY, LAST))
"""The first date is unchanged, and the sixth has not landed."""

PLAN = HistoryPlan(tuple(days(FIRST, LAST)), (FIRST + 5 * DAY,), (FIRST,), {}, (), CHUNKS, None, 0)


@pytest.fixture
def lake(s3: Any, pipeline_factory: Any) -> Lake:
    return cast(Lake, s3.open_lake(pipeline_factory()))


@pytest.fixture
def tracker(lake: Lake) -> Tracker:
    return Tracker(lake, PLAN, FIRST, LAST)


def decide(lake: Lake, *dates: date, at: datetime | None = None) -> None:
    entry = Entry("HOLD", "s3://d", "k", None, None, None, False, "run", (at or datetime.now(UTC)).isoformat())
    for day in dates:
        update_chain(lake, lambda chain, day=day: enter(chain, day, entry))  # type: ignore[misc]


def train(lake: Lake, candidate: str, *dates: date) -> None:
    for day in dates:
        lake.objects.create(lake.layout.model_manifest(candidate, day, "key"), b"{}")
        lake.objects.create(lake.layout.model_manifest(candidate, day, "key").replace(".json", "-1.safetensors"), b"")


def look(tracker: Tracker, task: str | None, unended: int = 10, day: date = FIRST + DAY, began: datetime = BEGAN) -> Progress:
    zone = tracker._lake.pipeline.calendar.time_zone
    return tracker.look(unended, {"plan_run": midnight(FIRST, zone)} | ({task: midnight(day, zone)} if task else {}), began)


def test_decided_dates_are_those_of_this_backfill_and_the_unchanged_ones(lake: Lake, tracker: Tracker) -> None:
    decide(lake, FIRST, FIRST + DAY, at=BEGAN - DAY)  # of these two, only the first is unchanged
    assert look(tracker, None).decided == 1
    decide(lake, FIRST + DAY, FIRST + 2 * DAY)
    found = look(tracker, "evaluate")
    assert (found.decided, found.stages[-1]) == (3, "evaluate 2/4")


def test_stages_move_and_a_spark_job_shows_its_dates(tracker: Tracker) -> None:
    assert look(tracker, None).stages == ()
    assert look(tracker, "collect").stages == ("collect 2026-03-02 to 2026-03-05",)
    assert look(tracker, "analyse").stages == ("collect ✓", "clean ✓", "analyse 2026-03-02 to 2026-03-05")
    assert look(tracker, None).stages[-1] == "analyse 2026-03-02 to 2026-03-05", "between two tasks it stays as it was"
    assert look(tracker, "clean", day=LAST).stages[-1] == "clean 2026-03-10", "a run that takes over in the middle of a batch"
    assert look(tracker, None, unended=0).stages == ()


def test_after_the_last_batch_the_other_runs_have_nothing_left_to_do(tracker: Tracker) -> None:
    def is_closing(task: str, day: date, idle: int, unended: int = 9) -> bool:
        look(tracker, task, unended, day)
        return [look(tracker, None, unended).is_closing for _ in range(idle)][-1]

    assert is_closing("evaluate", LAST, MIN_IDLE_LOOKS)
    assert "1 of 10 runs ended, the others find nothing left to do · 0:09" in _progress_text(tracker.progress, 9, None)
    assert not is_closing("evaluate", LAST, MIN_IDLE_LOOKS - 1), "deploy may follow"
    assert is_closing("deploy", LAST, MIN_IDLE_LOOKS)
    assert not is_closing("evaluate", FIRST + DAY, MIN_IDLE_LOOKS), "another batch follows"
    assert not is_closing("train", LAST, MIN_IDLE_LOOKS), "evaluate follows"
    assert not is_closing("deploy", LAST, MIN_IDLE_LOOKS, unended=0), "all runs have ended"


def test_models_are_counted_over_all_candidates(lake: Lake, tracker: Tracker) -> None:
    first, second = lake.pipeline.training.candidates
    train(lake, first, FIRST, FIRST + DAY, FIRST + 2 * DAY, LAST)  # the first and the last are not of this batch
    train(lake, second, FIRST + DAY)
    assert [look(tracker, "train").stages[-1] for _ in range(2)] == ["train 2/8", "train 3/8"]
    train(lake, first, FIRST + 3 * DAY)
    assert look(tracker, "train").stages[-1] == "train 4/8"
    assert look(tracker, "train", began=datetime.now(UTC) + DAY).stages[-1] != "train 4/8", "earlier models do not count"


def test_a_look_costs_at_most_one_request(tracker: Tracker, lake: Lake) -> None:
    requests: list[str] = []
    lake.objects.client.meta.events.register("before-send.s3", lambda event_name, **_: requests.append(event_name))
    for task in (None, "clean", "train", "evaluate", None):
        requests.clear()
        look(tracker, task)
        assert len(requests) <= 1, (task, requests)
    look(tracker, "evaluate")
    assert len(requests) == 1


def test_a_store_that_is_away_is_no_end_of_the_command(tracker: Tracker, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    monkeypatch.setattr(lake.objects, "read", fail)
    with pytest.raises(UnreachableError, match="The object store does not answer"):
        look(tracker, "evaluate")
    assert tracker.progress == Progress(FIRST, LAST, 10)


def test_it_is_one_line() -> None:
    now = Progress(FIRST, LAST, 10, ended=1, decided=3, stages=("collect ✓", "train 12/40"))
    start = "2026-03-01 to 2026-03-10: 3 of 10 dates decided · collect ✓ · train 12/40 · 1 of 10 runs ended"
    assert _progress_text(now, 90.4, None) == f"{start} · 1:30"
    assert _progress_text(replace(now, waits="paused"), 3661, 4000.0) == f"{start} · 61:01 · about 6 min left · waiting"
