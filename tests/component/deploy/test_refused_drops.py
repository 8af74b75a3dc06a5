"""Case 26: a refused drop is not the newest, so the date before it is released, and everybody is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from clean_keys import clean_keys
from lab import Lab
from scripted_runtime import ScriptedRuntime
from steps import D1, D2, decide

from perennial.collect.collect import collect
from perennial.collect.deadline import deadlines
from perennial.deploy.deploy import deploy, is_current
from perennial.deploy.newest import Later, newest_to_run
from perennial.deploy.standing import read_standing
from perennial.errors import DropRefusedError


@pytest.fixture
def refuse(lab: Lab, s3: Any, land_drops: Callable[..., None]) -> Callable[[str], str]:
    """Return a function that lands D2 and has it refused by a stage; it returns the reason that is told."""

    def act(stage: str) -> str:
        land_drops(s3.put, lab.pipeline, D1, D2)
        if stage == "collect":
            s3.put(lab.pipeline.sources["readings"].drop_uri(D2) + "readings-1.csv", b"half")
            with pytest.raises(DropRefusedError):
                collect(lab.lake, D2)
            return "its drop of readings is refused"
        collect(lab.lake, D2)
        # What the Spark job leaves that refuses a date for its rows.
        key = clean_keys(lab.lake, "readings", D2, D2)[D2]
        lab.lake.objects.create(lab.lake.layout.refusal("readings", D2, key), b"{}")
        return "its drop of readings is refused for its rows"

    return act


@pytest.mark.parametrize("stage", ["collect", "clean"])
def test_the_date_before_a_refused_one_is_released_and_the_refused_one_is_named(
    lab: Lab, runtime: ScriptedRuntime, refuse: Callable[[str], str], stage: str
) -> None:
    reason = refuse(stage)
    decide(lab, D1)
    assert not is_current(lab.lake, D1, runtime), "it has yet to be released"
    found = deploy(lab.lake, D1, runtime)
    assert (found.outcome, found.note) == ("done", f"{D2} is later but {reason}, so {D1} is the newest date")
    assert is_current(lab.lake, D1, runtime)
    now = read_standing(lab.lake)
    assert (now.later, now.behind) == (Later(refused={D2: reason}), "")
    assert ("refused", f"{D2}: {reason}. It is not the newest date") in now.lines()
    (deadline,) = deadlines(lab.pipeline, D2).values()
    assert newest_to_run(lab.lake, D2, deadline) == D1, "nor is it what a run without a date takes"


@pytest.mark.parametrize("stage", ["collect", "clean"])
def test_once_the_drop_is_landed_again_the_date_before_waits_for_it(
    lab: Lab, runtime: ScriptedRuntime, refuse: Callable[[str], str], s3: Any, machine_data: Any, stage: str
) -> None:
    refuse(stage)
    bodies = {"readings-1.csv": machine_data.csv_bytes(machine_data.rows(D2)[:150])}
    folder = lab.pipeline.sources["readings"].drop_uri(D2)
    s3.delete(folder + "readings-2.csv.gz")
    for name, body in {**bodies, "_MANIFEST.json": machine_data.manifest(D2, bodies)}.items():
        s3.put(folder + name, body)
    decide(lab, D1)
    found = deploy(lab.lake, D1, runtime)
    assert found.outcome == "skipped"
    assert found.reason.startswith(f"{D1} is not the newest date: {D2} has landed but has no decision")
    now = read_standing(lab.lake)
    assert now.later.waiting == D2
    assert dict(now.lines())["waits"].startswith(f"{D2} has landed but has no decision")
