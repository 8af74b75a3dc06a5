"""A quick check that the object store of this machine answers, before a client waits and retries."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from perennial.errors import PerennialError
from perennial.settings import get_settings

STACK_IS_DOWN = "The stack is down: `make up`."


def require_store() -> None:
    """Raise PerennialError if the object store is on this machine and does not listen."""
    store = urlsplit(get_settings().s3_endpoint or "")
    if store.hostname in ("127.0.0.1", "localhost") and store.port:
        with socket.socket() as probe:
            probe.settimeout(5)
            if probe.connect_ex((store.hostname, store.port)):
                raise PerennialError(STACK_IS_DOWN)
