"""A backfill through Airflow, which is a stand-in here that answers what it is given; the real one is in tests/integration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any, cast

import pytest

from perennial.backfill import run
from perennial.backfill.again import Again
from perennial.backfill.airflow_client import AirflowClient
from perennial.backfill.plan import HistoryPlan
from perennial.calendar import DAY, days, midnight
from perennial.errors import PerennialError, RefusedError, UnreachableError
from perennial.lake.lake import Lake

FIRST = date(2026, 3, 1)
LAST = FIRST + 9 * DAY
PLAN = HistoryPlan(tuple(days(FIRST, LAST)), missing=(), unchanged=(), stale={}, young=(), batches=(), deploys=None, rest=0)
RUNS: dict[str, Any] = {"completed_at": None, "is_paused": False, "created_at": "2026-03-20T00:00:00Z"}
PAUSED, ENDED = RUNS | {"is_paused": True}, RUNS | {"completed_at": "2026-03-03"}
CANCELLED = ENDED | {"is_paused": True}
OURS, THEIRS = 8, 7


class Airflow:
    """
    Airflow as it shows itself to one command.

    :param looks: look by look, before anything is started: whether a backfill is open, and its runs that have not ended.
        The last look lasts.
    :param polls: then, poll by poll: the facts of the backfill (None: Airflow does not answer), its runs that have not ended,
        and whether the DAG is paused.
    """

    def __init__(self, lake: Lake, looks: list[tuple[bool, int]], polls: list[tuple[dict[str, Any] | None, int, bool]]) -> None:
        zone = lake.pipeline.calendar.time_zone
        self.open = {
            "id": THEIRS,
            "from_date": midnight(FIRST, zone).isoformat(),
            "to_date": midnight(LAST, zone).isoformat(),
            "is_paused": False,
        }
        self._looks: Iterator[tuple[bool, int]] = iter(looks)
        self._look = (False, 0)
        self._polls = iter(polls)
        self._waits = False
        self.failed = 0
        self.created = 0

    def open_backfill(self, dag_id: str) -> dict[str, Any] | None:
        self._look = next(self._looks, self._look)
        return self.open if self._look[0] else None

    def unpause(self, dag_id: str) -> bool:
        self._waits = True
        return False

    def backfill(self, *_: object, **__: object) -> int:
        self.created += 1
        return OURS

    def count_runs(self, dag_id: str, first: datetime, last: datetime, *states: str) -> int:
        if states == ("failed",):
            return self.failed
        if not self._waits:
            return self._look[1]
        self._facts, unended, self._is_paused = next(self._polls)
        if self._facts is None:
            raise UnreachableError("Airflow does not answer.")
        return unended

    def backfill_facts(self, backfill: int) -> dict[str, Any]:
        return {"id": backfill, **(self._facts or {})}

    def reason_to_wait(self, dag_id: str) -> str:
        return f"{dag_id} is paused in Airflow" if self._is_paused else ""

    def running_tasks(self, *_: object) -> dict[str, datetime]:
        return {"plan_run": datetime.fromisoformat(self.open["from_date"])}

    def logical_dates(self, *_: object) -> list[str]:
        return []


Answers = Callable[..., tuple[list[int], list[int]]]
OPEN, NONE = (True, 3), (False, 0)


@pytest.fixture
def lake(s3: Any, pipeline_factory: Any) -> Lake:
    return cast(Lake, s3.open_lake(pipeline_factory()))


@pytest.fixture
def backfill(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """
    Return a function that runs the ten dates.

    It returns the backfills that ran them, and the numbers of runs that were shown as not ended.
    """
    monkeypatch.setattr(run, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(run, "MAX_DISCOVERY_SECONDS", 0.05)

    def start(looks: list[tuple[bool, int]], *polls: tuple[dict[str, Any] | None, int, bool]) -> tuple[list[int], list[int]]:
        airflow, shown = Airflow(lake, looks, list(polls)), []
        client = cast("AirflowClient", airflow)
        result = run.run_history(client, lake, PLAN, Again.MISSING, lambda now: shown.append(now.total - now.ended))
        assert result.backfills == ([OURS] if airflow.created else [THEIRS])
        return result.backfills, shown

    return start


def test_one_with_open_runs_is_joined(backfill: Answers) -> None:
    assert backfill([OPEN], (ENDED, 0, False)) == ([THEIRS], [])


def test_a_paused_dag_is_unpaused_and_said_to_be_active(
    backfill: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unpause = Airflow.unpause
    monkeypatch.setattr(Airflow, "unpause", lambda airflow, dag_id: not unpause(airflow, dag_id))
    backfill([NONE], (RUNS, 0, False))
    assert "retrain_machine_faults was paused and has been unpaused" in caplog.text
    assert "Its schedule is active now" in caplog.text


def test_one_that_is_just_being_made_is_waited_for(backfill: Answers) -> None:
    assert backfill([(True, 0), (True, 0), (True, 2)], (ENDED, 0, False))[0] == [THEIRS]


def test_one_that_has_ended_is_waited_for_until_airflow_says_so(backfill: Answers) -> None:
    assert backfill([(True, 0), (True, 0), NONE], (RUNS, 0, False))[0] == [OURS]


def test_an_end_that_airflow_never_sees_is_an_error(backfill: Answers) -> None:
    with pytest.raises(
        PerennialError, match=r"backfill 7 has no unended run, but Airflow has not marked it as completed .* Is the scheduler"
    ):
        backfill([(True, 0)])


def test_another_range_that_runs_is_refused(lake: Lake) -> None:
    airflow = Airflow(lake, [OPEN], [])
    airflow.open["to_date"] = airflow.open["from_date"]
    with pytest.raises(RefusedError, match="another backfill is running, 7"):
        run.run_history(cast("AirflowClient", airflow), lake, PLAN, Again.MISSING, lambda now: None)
    assert airflow.created == 0


def test_the_end_of_ones_own_is_seen_before_airflow_declares_it(backfill: Answers) -> None:
    assert backfill([NONE], (RUNS, 2, False), (RUNS, 1, False), (RUNS, 0, False)) == ([OURS], [2, 1])


def test_one_that_was_joined_may_have_runs_to_come(backfill: Answers) -> None:
    assert backfill([OPEN], (RUNS, 0, False), (RUNS, 1, False), (ENDED, 0, False)) == ([THEIRS], [0, 1])


def test_a_pause_is_told_once(backfill: Answers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    backfill([NONE], (RUNS, 2, True), (RUNS, 2, True), (PAUSED, 2, False), (RUNS, 2, False), (RUNS, 0, False))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "retrain_machine_faults is paused in Airflow",
        "Backfill 8 is paused in Airflow",
    ]


def test_a_cancelled_one_has_not_simply_ended(backfill: Answers) -> None:
    with pytest.raises(
        PerennialError, match=r"Backfill 8 was cancelled in Airflow.* 2 runs continue to their end. Repeat the command"
    ):
        backfill([NONE], (RUNS, 6, False), (CANCELLED, 2, False), (CANCELLED, 2, False))


def test_one_that_was_paused_in_its_last_runs_has_ended_all_the_same(backfill: Answers) -> None:
    assert backfill([OPEN], (RUNS, 1, False), (CANCELLED, 0, False), (CANCELLED, 0, False)) == ([THEIRS], [1])


def test_an_api_server_that_is_away_for_a_while_is_outlived(backfill: Answers, caplog: pytest.LogCaptureFixture) -> None:
    polls = [(RUNS, 2, False), (None, 0, False), (None, 0, False), (RUNS, 1, False), (RUNS, 0, False)]
    assert backfill([NONE], *polls) == ([OURS], [2, 2, 2, 1])
    assert len(caplog.records) == 1


def test_one_that_stays_away_is_an_error(backfill: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MAX_SILENCE_SECONDS", 0.02)
    with pytest.raises(UnreachableError, match="does not answer"):
        backfill([NONE], *[(None, 0, False)] * 1000)
