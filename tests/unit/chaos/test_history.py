"""`make chaos-history` has dates to compute until its last kill, and few left after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def history(load_chaos: Callable[[str], ModuleType]) -> ModuleType:
    load_chaos("killer")
    load_chaos("watchdog")
    return load_chaos("history")


class Thread:
    """A killer with work for some more backfills, or a watchdog."""

    def __init__(self, *backfills: bool) -> None:
        self.lives: Iterator[bool] = iter(backfills)
        self.done = self.mends = threading.Event()
        self.problem, self.max_seconds = "", 0.0

    def is_alive(self) -> bool:
        return next(self.lives)

    def start(self) -> None: ...

    def join(self) -> None: ...


def test_dates_are_computed_again_six_at_a_time_until_the_last_kill(history: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[tuple[int, int, bool]] = []

    def backfill(first: Any, last: Any, *, recompute: bool = False, **_: Any) -> None:
        ranges.append(((first - history.FIRST).days, (last - history.FIRST).days, recompute))

    monkeypatch.setattr(history, "backfill", backfill)
    monkeypatch.setattr(history, "Killer", lambda *_: Thread(True, True, True, False))
    monkeypatch.setattr(history, "Watchdog", lambda *_, **__: Thread())

    problem, _, _ = history.under_kills(None, [1], history.FIRST + timedelta(days=7))

    assert problem == ""
    assert ranges == [(0, 7, False), (0, 5, True), (6, 7, True), (0, 5, True)]
