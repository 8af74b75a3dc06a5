"""Deadlines of all connections, and the limit of the bytes that their clients do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from perennial.serve.limits import Limits
from perennial.serve.protocol import BoundedProtocol

_SWEEP_SECONDS = 0.25


async def sweep_connections(connections: Iterable[asyncio.Protocol], limits: Limits) -> None:
    """Enforce the deadlines of all connections, and the limit of their unread bytes, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        now = loop.time()
        bounded = [connection for connection in connections if isinstance(connection, BoundedProtocol)]
        for connection in bounded:
            connection.sweep(now)
        unread = {connection: connection.unread_bytes for connection in bounded}
        excess = sum(unread.values()) - limits.unread_bytes
        for connection in sorted(bounded, key=unread.__getitem__, reverse=True):
            if excess <= 0:
                break
            excess -= unread[connection]
            connection.abort()
