"""The list of stages, and what a stage that is added to it gets without another line."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from perennial.commands.run import run_stages
from perennial.errors import RefusedError
from perennial.freshness.unchanged import finished_stages
from perennial.lake.result import Outcome, Result, Skipped
from perennial.stages import STAGES, Run, Stage

DAY = date(2026, 3, 5)


class Scripted(Stage):
    """A stage that has finished, has work, is skipped or refuses, as it is told; it remembers that it ran."""

    summary = "does as it is told"

    def __init__(self, name: str, follows: tuple[str, ...], found: Result | Exception | None, *, ends: bool = False) -> None:
        self.name, self.follows, self.found, self.skip_ends_run = name, follows, found, ends
        self.ran = 0

    def find(self, run: Run, moment: Any) -> Result | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def run(self, run: Run, candidate: str | None = None) -> Result:
        self.ran += 1
        return self.find(run, None) or DONE


@pytest.fixture
def run() -> Run:
    lake: Any = SimpleNamespace(pipeline=None, tables=None, at_one_moment=lambda: SimpleNamespace(tables=None))
    return Run(lake, DAY, "r")


@pytest.fixture(autouse=True)
def plain_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the lake of a run as it is: a stand-in is no dataclass."""
    monkeypatch.setattr("perennial.freshness.unchanged.replace", lambda value, **_: value)


DONE, UNCHANGED = Result(Outcome.DONE), Result(Outcome.UNCHANGED)
SKIPPED = Skipped(reason="2 of 5 days")


def test_every_stage_comes_after_those_that_it_follows() -> None:
    for number, stage in enumerate(STAGES):
        assert {*stage.follows} <= {earlier.name for earlier in STAGES[:number]}, stage.name
    assert len({stage.name for stage in STAGES}) == len(STAGES)


def test_a_run_whose_stages_have_all_finished_has_nothing_to_do(run: Run) -> None:
    stages = [Scripted("a", (), UNCHANGED), Scripted("b", ("a",), UNCHANGED)]
    assert finished_stages(run, stages) == {"a": UNCHANGED, "b": UNCHANGED}


@pytest.mark.parametrize("found", [None, RefusedError("not this one")])
def test_one_stage_with_work_is_enough(run: Run, found: Any) -> None:
    assert finished_stages(run, [Scripted("a", (), UNCHANGED), Scripted("b", ("a",), found)]) is None


def test_a_skip_reaches_those_that_follow_and_no_others(run: Run) -> None:
    stages = [
        Scripted("a", (), UNCHANGED),
        Scripted("train", ("a",), SKIPPED, ends=True),
        Scripted("judge", ("train",), None),
        Scripted("deploy", ("judge",), None),
        Scripted("side", ("a",), UNCHANGED),
    ]
    assert finished_stages(run, stages) == {
        "a": UNCHANGED, "train": SKIPPED, "judge": SKIPPED, "deploy": SKIPPED, "side": UNCHANGED,
    }  # fmt: skip


def test_a_stage_that_skips_itself_alone_ends_nothing(run: Run) -> None:
    stages = [Scripted("deploy", (), SKIPPED), Scripted("watch", ("deploy",), UNCHANGED)]
    assert finished_stages(run, stages) == {"deploy": SKIPPED, "watch": UNCHANGED}


def test_the_command_line_skips_as_airflow_does(run: Run) -> None:
    train, judge, side = (
        Scripted("train", (), SKIPPED, ends=True),
        Scripted("judge", ("train",), None),
        Scripted("side", (), None),
    )
    results = {name: work() for name, work in run_stages(run, [train, judge, side])}
    assert results == {"train": SKIPPED, "judge": SKIPPED, "side": DONE}
    assert (train.ran, judge.ran, side.ran) == (1, 0, 1)
