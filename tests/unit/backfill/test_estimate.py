"""How long a backfill will take, after what past ones took."""

from __future__ import annotations

import pytest

from perennial.backfill.airflow_client import TaskState
from perennial.backfill.estimate import _sum_work, expected_seconds

LED = {10: 60.0, 30: 100.0}


@pytest.mark.parametrize(
    ("batches", "others", "seconds"),
    [
        ([10], 0, 60.0),
        ([20], 0, 80.0),  # between what ran before
        ([2], 0, 60.0),  # starting is most of it
        ([60], 0, 200.0),  # beyond: in proportion
        ([30, 10], 38, 160.0 + 38 * 2.0 / 4),
        ([], 8, 4.0),
    ],
)
def test_a_backfill_takes_what_those_before_it_took(batches: list[int], others: int, seconds: float) -> None:
    assert expected_seconds(LED, 2.0, batches, others, 4) == pytest.approx(seconds)


def test_before_the_first_backfill_nothing_is_known() -> None:
    assert expected_seconds({}, 0.0, [5], 4, 4) is None
    assert expected_seconds({}, 0.0, [], 3, 4) == 0.0


def test_what_a_run_waited_is_not_what_it_took() -> None:
    tasks = [("plan_run", 400.0, -1), ("clean", 10.0, -1), ("train", 8.0, 0), ("train", 3.0, 1), ("deploy", None, -1)]
    states = [TaskState(name, "", "success", seconds, index, 1, False) for name, seconds, index in tasks]
    assert _sum_work(states) == 18.0
