"""The kills of `make chaos-history` meet the scheduler, and its row locks, often enough."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@pytest.fixture(scope="module")
def killer(load_chaos: Callable[[str], ModuleType]) -> ModuleType:
    return load_chaos("killer")


class Unlucky(random.Random):
    """Draws the first kind, which is not the scheduler, each time."""

    def choice(self, kinds: Any) -> Any:
        return kinds[0]


def test_thirty_of_a_hundred_kills_are_of_the_scheduler_whatever_the_seeds_draw(killer: ModuleType) -> None:
    kinds: list[str] = []
    for _ in range(100):
        kinds.append(killer.draw(Unlucky(), kinds))
    assert kinds.count(killer.SCHEDULER) == 30
    assert kinds.index(killer.SCHEDULER) == 3


def test_a_seed_alone_decides_what_it_kills(killer: ModuleType) -> None:
    drawn = {seed: killer.draw(random.Random(seed), []) for seed in range(100)}
    assert drawn == {seed: killer.draw(random.Random(seed), []) for seed in range(100)}
    assert set(drawn.values()) == set(killer.KINDS)


@pytest.mark.parametrize("missed", [0, 2])
def test_half_of_the_kills_of_the_scheduler_meet_row_locks(
    killer: ModuleType, monkeypatch: pytest.MonkeyPatch, missed: int
) -> None:
    """A kill that meets no locks in time is made all the same, and the next one waits for them again."""
    waits = iter([None] * missed + ["killed"] * 10)
    monkeypatch.setattr(killer.locked_scheduler, "kill_in_transaction", lambda config, seconds: next(waits))
    monkeypatch.setattr(killer.locked_scheduler, "kill", lambda config: "killed")
    monkeypatch.setattr(killer, "left_after", lambda config, killed: "")
    monkeypatch.setattr(killer, "run_stack", lambda command: None)
    monkeypatch.setattr(killer, "draw", lambda chance, before: killer.SCHEDULER)
    monkeypatch.setattr(killer.Killer, "_is_busy", lambda self: True)
    trial = killer.Killer(None, range(10), lambda text: None, done=SimpleNamespace(wait=lambda seconds: False))

    trial.run()

    assert trial.problem == ""
    assert "10 of 10 were of the scheduler, 5 of these met row locks" in trial.summary()
    assert [kind for _, kind in trial.killed].count(killer.MISSED) == missed


def test_what_a_killed_scheduler_leaves_ends_the_trial(killer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killer.locked_scheduler, "kill_in_transaction", lambda config, seconds: SimpleNamespace(pid=7))
    monkeypatch.setattr(killer, "left_after", lambda config, killed: "processes 8")
    monkeypatch.setattr(killer, "draw", lambda chance, before: killer.SCHEDULER)
    monkeypatch.setattr(killer.Killer, "_is_busy", lambda self: True)
    trial = killer.Killer(None, [1, 2], lambda text: None, done=SimpleNamespace(wait=lambda seconds: False))

    trial.run()

    assert trial.problem == "A killed scheduler (process 7) left something: processes 8"
    assert trial.killed == []
