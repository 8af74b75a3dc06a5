"""The latency bound: a slow server is refused, a hiccup of the machine is not."""

from __future__ import annotations

import pytest

from perennial.deploy.latency import CHANCE, too_slow


@pytest.mark.parametrize(
    ("fast", "slow", "is_refused"),
    [
        (200, 0, False),
        (198, 2, False),
        (190, 10, True),
        (0, 1, False),
        (0, 2, True),
        (0, 0, False),
        (95, 5, False),
        (90, 10, True),
    ],
)
def test_the_count_above_the_bound_decides(fast: int, slow: int, is_refused: bool):
    assert (too_slow([1.0] * fast + [80.0] * slow, 50) is not None) == is_refused


def test_a_look_after_each_request_asks_for_more_than_one_look():
    assert too_slow([80.0] * 2, 50) is not None
    assert too_slow([80.0] * 2, 50, CHANCE / 300) is None
    assert too_slow([80.0] * 3, 50, CHANCE / 300) is not None


def test_the_text_says_found_against_bound():
    assert too_slow([80.0] * 20, 50) == "20 of 20 requests took longer than 50 ms (median 80.0 ms, slowest 80.0 ms)"
