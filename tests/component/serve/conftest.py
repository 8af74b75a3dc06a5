"""The real server, once a session on a free port, over a small S3 of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serve_process import ServerProcess
from serve_release_builder import build_release, inputs_of, point_at
from serve_small_s3 import SmallS3


@pytest.fixture(scope="session")
def store() -> Iterator[SmallS3]:
    with SmallS3() as store:
        yield store


@pytest.fixture(scope="session")
def server(store: SmallS3) -> Iterator[ServerProcess]:
    """A server that follows the active release of pipeline `small`, with deadlines short enough to test."""
    point_at(store, "small", build_release(store, "small", inputs_of("small")))
    with ServerProcess(store, "small", "--header-seconds", "1", "--body-seconds", "1.5") as server:
        server.wait_ready()
        yield server
