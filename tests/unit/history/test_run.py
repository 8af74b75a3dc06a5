"""Which backfill runs. Airflow is a stand-in here, which answers what it is given; the real one is in tests/integration."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from perennial.airflow_client import AirflowClient
from perennial.errors import PerennialError, UnreachableError
from perennial.history import run

OPEN = {"id": 7, "from_date": "2026-03-01T00:00:00+00:00", "to_date": "2026-03-02T00:00:00+00:00"}


class Airflow:
    def __init__(self, *looks: tuple[dict[str, Any] | None, int]) -> None:
        """Take, look by look, the backfill that is open and how many of its runs have not ended; the last look lasts."""
        self._looks: Iterator[tuple[dict[str, Any] | None, int]] = iter(looks)
        self._last = self._unended = None

    def open_backfill(self, dag_id: str) -> dict[str, Any] | None:
        self._last, self._unended = next(self._looks, (self._last, self._unended))
        return self._last

    def count_runs(self, *_: object) -> int:
        return self._unended or 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(run, "LONGEST_TO_SEE", 0.05)


def running(*looks: tuple[dict[str, Any] | None, int]) -> dict[str, Any] | None:
    return run._running(cast("AirflowClient", Airflow(*looks)), "retrain_x")


def test_one_with_open_runs_runs() -> None:
    assert running((OPEN, 3)) == OPEN


def test_one_that_is_just_being_made_is_waited_for() -> None:
    assert running((OPEN, 0), (OPEN, 0), (OPEN, 2)) == OPEN


def test_one_that_has_ended_is_waited_for_until_airflow_says_so() -> None:
    assert running((OPEN, 0), (OPEN, 0), (None, 0)) is None


def test_an_end_that_airflow_never_sees_is_an_error() -> None:
    with pytest.raises(
        PerennialError, match=r"backfill 7 has no run left, and Airflow has not declared it ended .* Is the scheduler"
    ):
        running((OPEN, 0))


SPAN = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
RUNS = {"id": 7, "completed_at": None, "is_paused": False}
PAUSED, ENDED = RUNS | {"is_paused": True}, RUNS | {"completed_at": "2026-03-03"}


class Polled:
    def __init__(self, *answers: tuple[dict[str, Any] | None, int, bool]) -> None:
        """Take, poll by poll, what is said of the backfill (None: nothing), its runs that have not ended, whether the DAG is paused."""
        self._answers, self._failed = iter(answers), 0

    def count_runs(self, dag_id: str, first: datetime, last: datetime, *states: str) -> int:
        if states == ("failed",):
            return self._failed
        self._facts, unended, self._is_paused = next(self._answers)
        if self._facts is None:
            raise UnreachableError("Airflow does not answer.")
        return unended

    def backfill_facts(self, backfill: int) -> dict[str, Any]:
        return self._facts or {}

    def is_paused(self, dag_id: str) -> bool:
        return self._is_paused

    def running_tasks(self, *_: object) -> set[str]:
        return {"plan_run", "clean"}


def waited(*answers: tuple[dict[str, Any] | None, int, bool], is_ours: bool = True) -> list[int]:
    shown: list[int] = []
    client = cast("AirflowClient", Polled(*answers))
    run._wait(client, "retrain_x", 7, SPAN, is_ours=is_ours, show=lambda unended, *_: shown.append(unended))
    return shown


def test_the_end_of_ones_own_is_seen_before_airflow_declares_it() -> None:
    assert waited((RUNS, 2, False), (RUNS, 1, False), (RUNS, 0, False)) == [2, 1]


def test_one_that_was_joined_may_have_runs_to_come() -> None:
    assert waited((RUNS, 0, False), (RUNS, 1, False), (ENDED, 0, False), is_ours=False) == [0, 1]


def test_a_pause_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    waited((RUNS, 2, True), (RUNS, 2, True), (PAUSED, 2, False), (RUNS, 2, False), (RUNS, 0, False))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "retrain_x is paused in Airflow",
        "Backfill 7 is paused in Airflow",
    ]


def test_a_cancelled_one_has_not_simply_ended() -> None:
    cancelled = (ENDED | {"is_paused": True}, 2, False)
    with pytest.raises(
        PerennialError, match=r"Backfill 7 was cancelled in Airflow.* 2 runs go on to their end. The same command"
    ):
        waited((RUNS, 6, False), cancelled, cancelled)


def test_one_that_was_paused_in_its_last_runs_has_ended_all_the_same() -> None:
    ended = (ENDED | {"is_paused": True}, 0, False)
    assert waited((RUNS, 1, False), ended, ended, is_ours=False) == [1]


def test_an_api_server_that_is_away_for_a_while_is_outlived(caplog: pytest.LogCaptureFixture) -> None:
    assert waited((RUNS, 2, False), (None, 0, False), (None, 0, False), (RUNS, 1, False), (RUNS, 0, False)) == [2, 2, 2, 1]
    assert len(caplog.records) == 1


def test_one_that_stays_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LONGEST_SILENCE", 0.02)
    with pytest.raises(UnreachableError, match="does not answer"):
        waited(*[(None, 0, False)] * 1000)
