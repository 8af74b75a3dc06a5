"""
The trigger of a backfill's runs that wait for earlier ones.

Airflow's answer is a stand-in: the real one needs the triggerer around it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.module_loading import import_string

from perennial_airflow.triggers.earlier_runs import EarlierRunsTrigger, count_running

DATES = ["2026-03-05T05:00:00+00:00", "2026-03-06T05:00:00+00:00"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let two runs be running at the first look, one at the second, none at the third; return what was asked."""
    looks: list[dict[str, Any]] = []

    def answer(**question: Any) -> int:
        looks.append(question)
        return 3 - len(looks)

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(answer))
    return looks


def test_fires_when_no_run_of_these_dates_is_running(asked: list[dict[str, Any]]) -> None:
    async def events() -> list[Any]:
        trigger = EarlierRunsTrigger(dag_id="retrain_x", logical_dates=DATES, poke_interval=0.01)
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(events()) == [None]
    expected = {
        "dag_id": "retrain_x",
        "logical_dates": [datetime(2026, 3, 5, 5, tzinfo=UTC), datetime(2026, 3, 6, 5, tzinfo=UTC)],
        "states": ["running"],
    }
    assert asked == [expected] * 3


def test_survives_a_restart_of_the_triggerer() -> None:
    path, arguments = EarlierRunsTrigger(dag_id="retrain_x", logical_dates=DATES).serialize()
    again = import_string(path)(**arguments)
    assert (type(again), again.dag_id, again.logical_dates) == (EarlierRunsTrigger, "retrain_x", DATES)


def test_no_date_is_no_question(asked: list[dict[str, Any]]) -> None:
    assert count_running("retrain_x", []) == 0
    assert asked == []
