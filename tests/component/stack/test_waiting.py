"""Real processes that take long to be ready, or never will be."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from stack.config import StackConfig
from stack.errors import StackError
from stack.process import Service, start, stop

BUSY = """
import pathlib, sys, time
end = time.monotonic() + 3
while time.monotonic() < end:
    pass
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
REFUSED = """
import time
print('FATAL:  password authentication failed for user "one"', flush=True)
time.sleep(60)
"""


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(repo=tmp_path, var=tmp_path)


def test_a_service_at_work_has_more_than_its_quiet_time(config: StackConfig, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    busy = Service(name="one", argv=(sys.executable, "-c", BUSY, str(ready)), is_ready=ready.exists, ready_seconds=2.5)
    try:
        assert start(config, busy)
    finally:
        stop(config, busy)


def test_an_idle_service_is_given_up(config: StackConfig) -> None:
    idle = Service(name="one", argv=("sleep", "60"), is_ready=lambda: False, ready_seconds=0.5)
    try:
        with pytest.raises(StackError, match=r"one is not ready after \d s, and made no progress for 0 s. Its log: .*one.log"):
            start(config, idle)
    finally:
        stop(config, idle)


def test_a_refused_password_ends_the_wait_at_once_with_the_line_of_the_log(config: StackConfig) -> None:
    """Case 36."""
    hopeless = {r"password authentication failed": "Put the secrets back."}
    refused = Service(name="one", argv=(sys.executable, "-c", REFUSED), is_ready=lambda: False, hopeless=hopeless)
    begin = time.monotonic()
    try:
        with pytest.raises(StackError, match=r'cannot become ready: FATAL:  password.*user "one"\. Put the secrets back\.'):
            start(config, refused)
        assert time.monotonic() - begin < refused.ready_seconds / 2
        # A line of an earlier start says nothing about this one.
        stop(config, refused)
        assert start(config, Service(name="one", argv=("sleep", "60"), is_ready=lambda: True, hopeless=hopeless))
    finally:
        stop(config, refused)
