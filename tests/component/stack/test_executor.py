"""The executor that hears at once when a task ends: real queues, no scheduler."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.executors.local_executor import LocalExecutor

import stack.executor
from stack.executor import BOUND_SECONDS, FIRST_WAIT_SECONDS, MAX_TRIES, MAX_WAIT_SECONDS, PromptLocalExecutor
from stack.logs import MAX_BYTES

KEY = "a task"


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PromptLocalExecutor:
    """Return one with its queues and no workers: this process is the worker."""
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path))
    monkeypatch.setattr(LocalExecutor, "_spawn_workers_with_gc_freeze", lambda self, number: None)
    one = PromptLocalExecutor(parallelism=1)
    one.start()
    return one


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []
    monkeypatch.setattr(stack.executor, "wait", lambda queues, seconds: asked.append(seconds))
    return asked


def test_looks_grow_rare_while_nothing_happens(executor: PromptLocalExecutor, waits: list[float]) -> None:
    for _ in range(5):
        executor.sync()
    assert waits == [0, FIRST_WAIT_SECONDS, 2 * FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS, MAX_WAIT_SECONDS]


def test_after_the_end_of_a_task_the_next_look_is_at_once(executor: PromptLocalExecutor, waits: list[float]) -> None:
    for _ in range(5):
        executor.sync()
    executor.result_queue.put((KEY, "success", None))
    while not executor.event_buffer:
        executor.sync()
    waits.clear()
    executor.sync()
    assert waits == [0]
    assert executor.get_event_buffer() == {KEY: ("success", None)}


def test_a_task_that_ends_cuts_a_long_wait_short(executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.executor, "MAX_WAIT_SECONDS", 60.0)
    executor._pause = 60.0
    threading.Timer(0.2, executor.result_queue.put, [(KEY, "failed", None)]).start()
    began = time.monotonic()
    executor.sync()
    assert time.monotonic() - began < 30
    assert KEY in executor.event_buffer


@pytest.mark.parametrize(("before", "after"), [(2, 3), (MAX_TRIES, MAX_TRIES)], ids=["keeps its tries", "not for ever"])
def test_a_task_of_a_killed_scheduler_runs_again(executor: PromptLocalExecutor, before: int, after: int) -> None:
    task = SimpleNamespace(max_tries=before)
    assert executor.try_adopt_task_instances([task]) == [task]  # Airflow resets those that are returned
    assert task.max_tries == after


def test_logs_of_the_stack_are_bounded_once_a_minute(
    executor: PromptLocalExecutor, waits: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log" / "server.log"
    log.parent.mkdir()
    sizes = []
    for _ in range(2):
        with log.open("wb") as file:
            file.truncate(MAX_BYTES + 1)
        executor.sync()
        sizes.append(log.stat().st_size)
    executor._next_bound -= BOUND_SECONDS
    executor.sync()
    assert [*sizes, log.stat().st_size] == [0, MAX_BYTES + 1, 0]
