"""Which backfill runs. Airflow is a stand-in here, which answers what it is given; the real one is in tests/integration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from perennial.airflow_client import AirflowClient
from perennial.errors import PerennialError
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
