"""The watchdog of `make chaos-history` sees runs that hang, and no others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from types import ModuleType
from typing import Any

import psutil
import pytest


@pytest.fixture(scope="module")
def watchdog(load_chaos: Callable[[str], ModuleType]) -> ModuleType:
    return load_chaos("watchdog")


def task(run: str, state: str | None, *, pid: int = 0, ended: float | None = None) -> tuple[Any, ...]:
    return (run, "clean", -1, 1, state, pid, ended)


def still(
    watchdog: ModuleType, *looks: tuple[Any, ...], at_work: tuple[int, ...] = (), written: bool = False
) -> dict[str, float]:
    """Return the still seconds after a look a minute."""
    progress, seconds = watchdog.Progress(), {}
    for number, tasks in enumerate(looks):
        seconds = progress.look(60.0 * number, tasks, at_work, written)
    return seconds


def test_a_run_that_no_scheduler_touches_is_still_though_others_move(watchdog: ModuleType) -> None:
    looks = [(task("locked", None), task("other", state)) for state in ("queued", "running", "success")]
    assert still(watchdog, *looks) == {"locked": 120, "other": 0}


def test_a_running_task_moves_by_its_cpu_time_or_by_what_is_written(watchdog: ModuleType) -> None:
    looks = [(task("one", "running", pid=7),)] * 3
    assert still(watchdog, *looks) == {"one": 120}
    assert still(watchdog, *looks, at_work=(8,)) == {"one": 120}
    assert still(watchdog, *looks, at_work=(7,)) == {"one": 0}
    assert still(watchdog, *looks, written=True) == {"one": 0}


@pytest.mark.parametrize("state", ["deferred", "queued", "scheduled"])
def test_a_run_that_waits_is_as_still_as_all_of_them(watchdog: ModuleType, state: str) -> None:
    looks = [(task("waits", state), task("works", "running", pid=7))] * 3
    assert still(watchdog, *looks, at_work=(7,)) == {"waits": 0, "works": 0}
    assert still(watchdog, *looks) == {"waits": 120, "works": 120}


def test_the_pause_before_a_retry_is_no_hang_until_it_is_over(watchdog: ModuleType) -> None:
    looks = [(task("one", "up_for_retry", ended=ended),) for ended in (10, 20, 30)]
    assert still(watchdog, *looks) == {"one": 0}
    looks = [(task("one", "up_for_retry", ended=ended),) for ended in (340, 400, 460)]
    assert still(watchdog, *looks) == {"one": 120}


def test_a_backfill_whose_runs_never_start_is_still(watchdog: ModuleType) -> None:
    assert list(still(watchdog, (), (), ()).values()) == [120]


def test_a_watchdog_that_fails_says_so(watchdog: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("no eyes")

    monkeypatch.setattr(watchdog, "administrator", fail)
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)
    told: list[str] = []
    dog = watchdog.Watchdog(None, lambda: False, told.append)
    with pytest.raises(RuntimeError, match="no eyes"):
        dog.run()
    assert told == ["The watchdog itself failed: RuntimeError: no eyes"]


def test_a_task_that_ended_since_it_was_listed_used_no_time(watchdog: ModuleType) -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = psutil.Process(child.pid)
    child.kill()
    child.wait()
    assert watchdog._cpu_seconds(process) == 0.0
