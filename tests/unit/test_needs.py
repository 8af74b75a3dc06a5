"""Tests are marked with the services that they need, and a test that uses another one fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from needs import FOLDERS, NEEDS, TESTS, needs_of


def item(path: str, fixtures: tuple[str, ...] = (), marks: tuple[str, ...] = (), **module: Any) -> Any:
    """Return as much of a collected test as its needs are told from."""
    return SimpleNamespace(
        path=TESTS / path,
        fixturenames=fixtures,
        module=SimpleNamespace(**module),
        iter_markers=lambda: [SimpleNamespace(name=name) for name in marks],
    )


@pytest.mark.parametrize(
    ("test", "needs"),
    [
        (item("unit/test_calendar.py", ("tmp_path",), ("parametrize",)), set()),
        (item("unit/lake/test_lake.py", ("s3", "s3_server", "s3_config")), {"s3"}),
        (item("component/clean/test_job.py", run_job=SimpleNamespace(__module__="spark_job")), {"spark"}),
        (item("component/clean/test_job.py", spark_loop=SimpleNamespace(__name__="spark_loop", __module__=None)), {"spark"}),
        (item("unit/train/test_models.py", (), ("tensorflow",)), {"tensorflow"}),
        (item("integration/test_faults.py", ("stack",)), {"stack"}),
        (
            item("integration/test_on_kubernetes.py", ("stack",), (), kubectl=SimpleNamespace(__module__="kube")),
            {"stack", "cluster"},
        ),
        (item("compose/test_compose.py"), {"docker"}),
    ],
    ids=["nothing", "a fixture", "a helper", "a helper as a module", "its own mark", "its folder", "both", "containers"],
)
def test_a_test_is_marked_by_folder_fixtures_helpers_and_marks(test: Any, needs: set[str]) -> None:
    assert needs_of(test) == needs


def test_this_test_is_pure(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("pure")


def test_each_need_is_a_registered_marker(pytestconfig: pytest.Config) -> None:
    named = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert named >= NEEDS | {"pure"}


@pytest.mark.parametrize("module", ["tensorflow", "keras", "pyspark"])
def test_an_import_that_the_marks_do_not_name_is_stopped(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(pytest.fail.Exception, match=f"{module} is used without the mark"):
        __import__(module)


@pytest.mark.parametrize("program", ["weed", "java", "docker"])
def test_a_program_that_the_marks_do_not_name_is_stopped(program: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"{program} is used without the mark"):
        subprocess.run([tmp_path / program], check=True)


def test_the_folders_that_tell_a_need_are_there() -> None:
    assert {folder.name for folder in TESTS.iterdir()} >= set(FOLDERS)
