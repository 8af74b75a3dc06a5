"""The trigger of plan_run: a backfill's run waits for the runs before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async


class EarlierRunsTrigger(BaseTrigger):
    """
    Fire when none of the runs with these logical dates is running.

    A queued run does not count: it may itself be waiting for the slot of the run that waits here.

    :param logical_dates: ISO instants
    :param poke_interval: seconds between two queries
    """

    def __init__(self, *, dag_id: str, logical_dates: list[str], poke_interval: float = 1.0) -> None:
        super().__init__()
        self.dag_id = dag_id
        self.logical_dates = logical_dates
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {"dag_id": self.dag_id, "logical_dates": self.logical_dates, "poke_interval": self.poke_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        dates = [datetime.fromisoformat(instant) for instant in self.logical_dates]
        while await sync_to_async(count_running)(self.dag_id, dates):
            await asyncio.sleep(self.poke_interval)
        yield TriggerEvent(None)


def count_running(dag_id: str, logical_dates: Sequence[datetime]) -> int:
    """Count the runs with these logical dates that are running now."""
    if not logical_dates:
        return 0
    return RuntimeTaskInstance.get_dr_count(dag_id=dag_id, logical_dates=list(logical_dates), states=["running"])
