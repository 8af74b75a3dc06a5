"""
Every place that speaks of the champion says the same, whatever happened before: runs, reruns, rollbacks, forced decisions, drops
that are refused or replaced.

Sequences are drawn with fixed seeds. After each step the answers of status, decisions, releases, the run's facts, the report and
Airflow's page are compared with a model that knows only what was done.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from clean_keys import clean_keys
from lab import LAST, Lab
from scripted_runtime import ScriptedRuntime

from perennial.clean.verdict import Refusal
from perennial.collect.collect import collect
from perennial.commands.history import decisions, releases
from perennial.commands.status import status
from perennial.deploy.deploy import deploy
from perennial.deploy.rollback import rollback
from perennial.deploy.standing import read_standing
from perennial.errors import DropRefusedError, PerennialError, RefusedError, ReleaseFailedError
from perennial.evaluate.chain import Chain
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import Champion, champion_of
from perennial.evaluate.evaluate import evaluate
from perennial.evaluate.recorded import Evaluated
from perennial.freshness.unchanged import finished_stages
from perennial.lake.result import Skipped
from perennial.report.page import page
from perennial.report.walk_forward import walk_forward
from perennial.stages import STAGES, Run
from perennial.store.content_name import canonical_json

MODEL_STAGES = [stage for stage in STAGES if stage.name in ("train", "evaluate", "deploy")]
DAYS = [LAST - timedelta(days=back) for back in range(4, -1, -1)]
SEEDS, STEPS = range(1, 6), 12
GOOD, BETTER, BAD = 0.1, 0.11, -0.05


@dataclass
class Model:
    """All that is to be known: the version that each date named, bars by date, what serves, and what landed."""

    named: dict[date, str | None] = field(default_factory=dict)
    bars: list[tuple[date, str]] = field(default_factory=list)
    serves: tuple[date, str] | None = None
    landed: set[date] = field(default_factory=set)
    refused: set[date] = field(default_factory=set)

    def barred(self, day: date) -> set[str]:
        return {version for at, version in self.bars if at <= day}

    def champion(self, day: date, *, without: frozenset[str] = frozenset()) -> str | None:
        names = [self.named[earlier] for earlier in sorted(self.named, reverse=True) if earlier <= day]
        return next((name for name in names if name and name not in self.barred(day) | without), None)

    def incumbent(self, day: date) -> str | None:
        return self.champion(day - timedelta(days=1))

    @property
    def last(self) -> date | None:
        return max(self.named, default=None)

    def waiting(self, day: date) -> date | None:
        return max((later for later in self.landed - self.refused if later > day), default=None)

    def is_newest(self, day: date) -> bool:
        return self.last == day and self.waiting(day) is None and (self.serves is None or self.serves[0] <= day)


@dataclass
class World:
    """The lab, the versions that were trained of each date, and the model that has to agree with it."""

    lab: Lab
    runtime: ScriptedRuntime
    put: Callable[[str, bytes], None]
    drops: Any
    chance: random.Random
    model: Model = field(default_factory=Model)
    versions: dict[date, tuple[str, str]] = field(default_factory=dict)
    decided: dict[date, Evaluated | Skipped] = field(default_factory=dict)
    trainings: int = 0

    # What happens

    def land(self, day: date, **changes: Any) -> None:
        bodies = self.drops.files(day)
        self.trainings += 1
        manifest = self.drops.manifest(day, bodies, **changes)
        folder = self.lab.pipeline.sources["readings"].drop_uri(day)
        for name, body in {**bodies, "_MANIFEST.json": manifest + b" " * self.trainings}.items():
            self.put(folder + name, body)
        self.model.landed.add(day)
        self.model.refused.discard(day)

    def run(self, day: date) -> None:
        """Run a date for the first time, or again with other bytes: it trains other models."""
        self.land(day)
        collect(self.lab.lake, day)
        if day in self.versions:
            self.lab.correct(day)
        weight = self.chance.choice([GOOD, BETTER, BAD]) + self.trainings / 10_000
        self.versions[day] = self.lab.train("mlp", day, weight), self.lab.train("logistic", day, BAD + self.trainings / 10_000)
        self.decide(day)
        self.deploy(day)

    def rerun(self, day: date) -> None:
        if day in self.versions:
            self.decide(day)
            self.deploy(day)

    def force(self, day: date) -> None:
        if day in self.versions:
            self.decide(day, self.chance.choice(["PROMOTE", "PROMOTE", "HOLD", "REJECT"]))
            self.deploy(day)

    def decide(self, day: date, force: str | None = None) -> None:
        try:
            found = evaluate(self.lab.lake, day, run_id="r", force_decision=force, force_reason="test" if force else None)
        except RefusedError:
            assert force == "PROMOTE"
            assert set(self.versions[day]) <= self.model.barred(day), "only what is barred may not be forced"
            return
        if found.outcome == "done":
            best, other = self.versions[day]
            allowed = [version for version in (best, other) if version not in self.model.barred(day)]
            self.model.named[day] = allowed[0] if found.decision == "PROMOTE" else self.model.incumbent(day)
            assert found.incumbent == self.model.incumbent(day)
        self.decided[day] = found

    def deploy(self, day: date) -> None:
        wanted = self.model.champion(day)
        self.runtime.refuses = {wanted} if wanted and self.chance.random() < 0.15 else set()
        try:
            found = deploy(self.lab.lake, day, self.runtime)
        except ReleaseFailedError:
            served = self.model.serves[1] if self.model.serves else None
            if wanted and wanted != served:
                self.model.bars.append((day, wanted))
                if (back := self.model.champion(day)) is not None:
                    self.model.serves = day, back
            return
        if self.model.is_newest(day) and wanted:
            assert (found.outcome in {"done", "unchanged"}, found.version) == (True, wanted)
            self.model.serves = day, wanted
        else:
            assert found.outcome == "skipped"
            assert found.reason

    def go_back(self, day: date) -> None:
        self.runtime.refuses = set()
        serves = self.model.serves
        left = self.model.champion(serves[0], without=frozenset({serves[1]})) if serves else None
        if serves is None or left is None:
            with pytest.raises(RefusedError):
                rollback(self.lab.lake, reason="it lies", who="ann", runtime=self.runtime)
            return
        found = rollback(self.lab.lake, reason="it lies", who="ann", runtime=self.runtime)
        self.model.bars.append((serves[0], serves[1]))
        self.model.serves = serves[0], left
        assert found.version == left

    def refuse(self, day: date) -> None:
        """Land a drop that collect refuses, or whose rows cleaning refuses."""
        if self.chance.random() < 0.5:
            self.land(day, files=[])
            with pytest.raises(DropRefusedError):
                collect(self.lab.lake, day)
        else:
            self.land(day)
            collect(self.lab.lake, day)
            uri = self.lab.lake.layout.refusal("readings", day, clean_keys(self.lab.lake, "readings", day, day)[day])
            refusal = Refusal(rows=60, expected_rows=60, quarantined=9, max_quarantine_share=0.05, rules={"machine required": 9})
            self.lab.lake.objects.create(uri, canonical_json(refusal.to_json()))
        self.model.refused.add(day)

    def replace(self, day: date) -> None:
        """A drop lands, for the first time or again, and has not run yet."""
        self.land(day)

    # What is said of it

    def compare(self, done: date, say: Callable[..., Any]) -> None:
        model, last = self.model, self.model.last
        champion = model.champion(last) if last else None
        barred = {version for _, version in model.bars}
        waiting = model.waiting(last) if last else None

        told = say(status)["pipelines"][0]
        assert (told["last_date"], told["champion"]) == (str(last) if last else None, champion)
        assert told["release_version"] == (model.serves[1] if model.serves else None)
        assert {item["barred"] for item in told["barred"]} == barred
        assert told["waits"] == (str(waiting) if waiting else None)
        is_behind = champion is not None and model.serves != (last, champion)
        assert bool(told["behind"]) == is_behind, told["behind"]

        listed = say(decisions, date=None, only_stale=False)
        assert {item["date"]: (item["champion"], item["named"]) for item in listed["decisions"]} == {
            str(day): (model.champion(day), named) for day, named in model.named.items()
        }
        assert {item["barred"] for item in listed["interventions"]} - {None} == barred
        for day in {done, last} & model.named.keys():
            one = say(decisions, date=str(day), only_stale=False)
            assert (one["champion"], one["named"]) == (model.champion(day), model.named[day])
            assert bool(one["note"]) == (model.champion(day) != model.named[day])

        released = say(releases)
        assert {item["version"] for item in released["releases"] if item["barred"]} == barred & {
            item["version"] for item in released["releases"]
        }
        active = [item["version"] for item in released["releases"] if item["active"]]
        assert active == ([model.serves[1]] if model.serves else [])
        assert released["behind"] == told["behind"]

        if last:
            self._compare_the_run_of(last, champion, told["behind"])
            found = walk_forward(self.lab.lake, DAYS[0], DAYS[-1])
            assert {day.date: day.champion for day in found.days} == {day: model.champion(day) for day in model.named}
        lines = dict(read_standing(self.lab.lake).lines())
        assert lines["champion"].startswith(f"{champion or 'none'}: " if last else "none yet")

    def _compare_the_run_of(self, last: date, champion: str | None, behind: str) -> None:
        """Airflow's first task hands on the facts of a date that needs nothing, or lets its tasks run."""
        finished = finished_stages(Run(self.lab.lake, last, "r", runtime=self.runtime), MODEL_STAGES)
        if finished is not None:
            stages = {name: result.to_json() for name, result in finished.items()}
            assert stages["evaluate"]["champion"] == champion
            assert stages["deploy"]["version"] in ({champion} if stages["deploy"]["outcome"] == "unchanged" else {None})
            assert bool(stages["deploy"]["reason"]) == (stages["deploy"]["outcome"] == "skipped")
        else:
            assert behind or self._is_to_decide(last)

    def _is_to_decide(self, day: date) -> bool:
        entry = read_chain(self.lab.lake).get(day)
        return entry is None or entry.stale or self.decided[day].champion != self.model.champion(day)


@pytest.fixture
def world(
    lab: Lab,
    runtime: ScriptedRuntime,
    s3: Any,
    machine_data: Any,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    monkeypatch.setattr("perennial.commands.arguments.lake_of", lambda _: lab.lake)
    monkeypatch.setattr("perennial.commands.status.lake_of", lambda _: lab.lake)
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(lab.pipeline.folder.parent))
    monkeypatch.setenv("PERENNIAL_ENDPOINT_PORT", "9")
    return World(lab, runtime, s3.put, machine_data, random.Random(request.param))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def call(command: Callable[..., None], **options: Any) -> Any:
        capsys.readouterr()
        command("machine_faults", **options, as_json=True)
        return json.loads(capsys.readouterr().out)

    return call


def draw(chance: random.Random, days: list[date]) -> Iterator[tuple[str, date]]:
    """Draw steps: mostly the dates run in their order, and everything else happens in between."""
    ahead, reached = iter(days[1:]), days[0]
    yield "run", reached
    for _ in range(STEPS):
        step = chance.choice(["run", "run", "rerun", "force", "go_back", "refuse", "replace"])
        if step == "run":
            reached = next(ahead, reached)
            yield step, reached
        elif step in {"refuse", "replace"}:
            yield step, chance.choice(days)
        else:
            yield step, chance.choice([day for day in days if day <= reached])


def walk(world: World, say: Callable[..., Any]) -> None:
    """Do what is drawn, and compare after each step."""
    done = []
    for step, day in draw(world.chance, DAYS):
        done.append(f"{step} {day}")
        try:
            getattr(world, step)(day)
            world.compare(day, say)
        except (AssertionError, PerennialError) as error:
            raise AssertionError(f"after {done}: {error}") from error


@pytest.mark.parametrize("world", SEEDS, indirect=True)
def test_every_place_says_the_same(world: World, say: Callable[..., Any]) -> None:
    walk(world, say)
    last = world.model.last
    assert f"Champion after {last}: {world.model.champion(last) or 'none'}." in page(
        walk_forward(world.lab.lake, DAYS[0], DAYS[-1])
    )


@pytest.mark.parametrize("world", [3], indirect=True)
def test_a_place_that_tells_what_the_decision_named_is_found(
    world: World, say: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_named(chain: Chain, day: date) -> Champion:
        found = champion_of(chain, day)
        return replace(found, model=found.model and replace(found.model, version=found.named or "none"))

    monkeypatch.setattr("perennial.evaluate.recorded.champion_of", as_named)
    with pytest.raises(AssertionError, match="after"):
        walk(world, say)
