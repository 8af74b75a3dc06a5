"""How long a service is waited for."""

from __future__ import annotations

import pytest

from stack.waiting import HOPELESS, MAX_SECONDS, MIN_CPU_SECONDS, Patience, find_cause


def test_a_service_without_progress_is_given_up_after_its_quiet_time() -> None:
    patience = Patience(quiet_seconds=60, begin=1000)
    assert patience.problem(1060, cpu_seconds=0.1, log_bytes=0) is None
    assert patience.problem(1061, cpu_seconds=0.2, log_bytes=0) == "is not ready after 61 s, and made no progress for 60 s"


@pytest.mark.parametrize("step", [(MIN_CPU_SECONDS, 0), (0, 1)], ids=["CPU time", "log"])
def test_a_service_that_makes_progress_has_time(step: tuple[float, int]) -> None:
    patience = Patience(quiet_seconds=60, begin=0)
    for minute in range(1, 19):
        assert patience.problem(minute * 59.0, minute * step[0], minute * step[1]) is None
    assert patience.problem(18 * 59.0 + 61, 18 * step[0], 18 * step[1])


def test_the_time_of_a_child_that_has_ended_is_not_waited_for() -> None:
    patience = Patience(quiet_seconds=60, begin=0)
    assert patience.problem(10, cpu_seconds=100, log_bytes=0) is None
    assert patience.problem(50, cpu_seconds=3, log_bytes=0) is None
    assert patience.problem(90, cpu_seconds=4, log_bytes=0) is None  # progress at 90, though less than the 100 of before
    assert patience.problem(149, cpu_seconds=4, log_bytes=0) is None


def test_no_progress_lasts_for_ever() -> None:
    patience = Patience(quiet_seconds=60, begin=0)
    seconds = 0.0
    while patience.problem(seconds, cpu_seconds=seconds, log_bytes=int(seconds)) is None:
        seconds += 50
    assert MAX_SECONDS < seconds <= MAX_SECONDS + 50


def test_the_first_line_that_leaves_no_hope_is_told_with_its_remedy() -> None:
    log = "LOG: starting\nFATAL:  could not write: No space left on device\nFATAL: later"
    assert find_cause(log, HOPELESS) == (
        "FATAL:  could not write: No space left on device. Free space on that disk, then run the command again."
    )
    assert find_cause("LOG: all is well", HOPELESS) is None
