"""The order of starting and stopping, and what happens to the rest when one part fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.config import StackConfig
from stack.errors import StackError
from stack.plan import Outcome, Part, bring_down, bring_up, choose, plan, strays


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(repo=tmp_path, var=tmp_path, pipelines=tmp_path)


def states(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.part.name: outcome.state for outcome in outcomes}


def test_a_part_starts_after_what_it_needs(config: StackConfig) -> None:
    order: list[str] = []
    parts = [
        Part(name="last", needs=("middle", "other"), before=lambda _: order.append("last")),
        Part(name="middle", needs=("first",), before=lambda _: order.append("middle")),
        Part(name="first", before=lambda _: order.append("first")),
        Part(name="other", before=lambda _: order.append("other")),
    ]
    bring_up(config, parts, lambda _: None)
    assert order.index("first") < order.index("middle") < order.index("last")
    assert order[-1] == "last"


def test_a_failure_skips_its_users_and_no_others(config: StackConfig) -> None:
    def fail(_: StackConfig) -> None:
        raise StackError("no disk")

    def break_down(_: StackConfig) -> None:
        raise KeyError("nobody foresaw this")

    parts = [
        Part(name="bad", before=fail),
        Part(name="worse", before=break_down),
        Part(name="user", needs=("bad",)),
        Part(name="user-of-user", needs=("user",)),
        Part(name="other"),
    ]
    outcomes = bring_up(config, parts, lambda _: None)
    assert states(outcomes) == {"bad": "failed", "worse": "failed", "user": "skipped", "user-of-user": "skipped", "other": "done"}
    assert [outcome.problem for outcome in outcomes[:3]] == ["no disk", "worse: KeyError: 'nobody foresaw this'", "needs bad"]


def test_down_with_nothing_running_is_fine(config: StackConfig) -> None:
    outcomes = bring_down(config, plan(config), lambda _: None)
    assert set(states(outcomes).values()) == {"was down", "nothing to stop"}


def test_down_starts_with_what_nothing_needs(config: StackConfig) -> None:
    seen: list[str] = []
    parts = [Part(name="database"), Part(name="migration", needs=("database",)), Part(name="user", needs=("migration",))]
    bring_down(config, parts, lambda outcome: seen.append(outcome.part.name))
    assert seen == ["user", "migration", "database"]


def test_choosing_brings_what_is_needed(config: StackConfig) -> None:
    parts = plan(config)
    assert [part.name for part in choose(parts, ["metastore"])] == ["s3", "postgres", "metastore"]
    assert [part.name for part in choose(parts, ["metastore"], with_needs=False)] == ["metastore"]
    assert len([part for part in choose(parts, ["airflow"], with_needs=False) if part.service]) == 4
    assert choose(parts, []) == parts


@pytest.mark.parametrize("service", ["dag-processor", "triggerer", "scheduler"])
def test_choosing_brings_the_server_that_tells_whether_a_service_of_airflow_is_ready(config: StackConfig, service: str) -> None:
    chosen = {part.name: part for part in choose(plan(config), [f"airflow-{service}"])}
    assert "airflow-api" in chosen
    assert "airflow-database" in chosen


def test_an_unknown_part_is_refused(config: StackConfig) -> None:
    with pytest.raises(StackError, match=r"'s4'.*s3, postgres"):
        choose(plan(config), ["s4"])


def test_every_service_binds_ports_of_its_own(config: StackConfig) -> None:
    for name in ("a", "b"):
        (config.pipelines / name).mkdir()
        (config.pipelines / name / "pipeline.yaml").touch()
    ports = [port for part in plan(config) if part.service for port in part.service.ports]
    assert len(ports) == len(set(ports))
    assert {config.port("endpoint"), config.port("endpoint") + 1} <= set(ports)


def test_a_service_of_a_removed_pipeline_is_remembered(config: StackConfig) -> None:
    config.run.mkdir(parents=True)
    (config.run / "server-gone.json").write_text('{"pid": 1, "created": 0}', encoding="utf-8")
    assert [part.name for part in strays(config, plan(config))] == ["server-gone"]
