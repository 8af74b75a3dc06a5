"""The trigger of wait_for_drop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.sdk import timezone
from airflow.triggers.base import BaseTrigger, TriggerEvent


class ManifestsTrigger(BaseTrigger):
    """
    Fire when every object exists, or when one is still missing at its deadline.

    The deadlines are instants, so a restart of the triggerer does not extend the wait. A store that cannot be reached is tried
    again until the deadline.

    :param deadlines: ISO instant by s3:// address
    :param poke_interval: seconds between two queries
    """

    def __init__(self, *, deadlines: dict[str, str], poke_interval: float = 2.0) -> None:
        super().__init__()
        self.deadlines = deadlines
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {"deadlines": self.deadlines, "poke_interval": self.poke_interval}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        # Imported here, so that parsing a DAG file does not import the AWS client.
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from botocore.exceptions import BotoCoreError

        # No Airflow connection: all stages use boto3's own configuration chain.
        hook = S3Hook(aws_conn_id=None)
        waiting = {uri: datetime.fromisoformat(instant) for uri, instant in self.deadlines.items()}
        async with await hook.get_async_conn() as client:
            while True:
                problem = None
                try:
                    for uri in list(waiting):
                        # No bucket: the whole address is the key.
                        if await hook.check_key_async(client, None, uri, wildcard_match=False):  # type: ignore[arg-type]
                            self.log.info("Landed: %s", uri)
                            del waiting[uri]
                except BotoCoreError as error:
                    problem = f"{type(error).__name__}: {error}"
                    self.log.warning("Trying again: %s", problem)
                now = timezone.utcnow()
                if not waiting or any(deadline <= now for deadline in waiting.values()):
                    yield TriggerEvent({"missing": sorted(waiting), "problem": problem})
                    return
                await asyncio.sleep(self.poke_interval)
