"""Mark each test with the services that it needs, and stop a test that uses one which it is not marked with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perennial.runtime.environment import TORCH, find_missing

TESTS = Path(__file__).parents[1]

NEEDS = frozenset({"s3", "spark", "tensorflow", "torch", "stack", "cluster", "docker"})
FOLDERS = {"integration": "stack", "start": "stack", "kubernetes": "cluster", "compose": "docker"}
FIXTURES = {"s3_config": "s3"}
HELPERS = {"spark_job": "spark", "spark_loop": "spark", "spark_server": "spark", "torch_cases": "torch", "kube": "cluster"}
"""Modules of tests/support that start a service: a test file that imports from one needs it."""

IMPORTS = {"tensorflow": "tensorflow", "keras": "tensorflow", "pyspark": "spark"}
PROGRAMS = {"weed": "s3", "java": "spark", "perennial-spark-submit": "spark", "kubectl": "cluster", "docker": "docker"}

_allowed: frozenset[str] = frozenset()


def needs_of(item: pytest.Item) -> set[str]:
    """Return what a test needs, by its folder, its fixtures, the helpers that its file imports and its own marks."""
    module = getattr(item, "module", None)
    helpers = {
        getattr(value, "__module__", None) or getattr(value, "__name__", None) for value in vars(module or object).values()
    }
    return {
        *(mark.name for mark in item.iter_markers() if mark.name in NEEDS),
        *(FOLDERS[part] for part in item.path.relative_to(TESTS).parts[:1] if part in FOLDERS),
        *(FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES),
        *(HELPERS[str(name)] for name in helpers if str(name) in HELPERS),
    }


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs, or `pure`."""
    for item in items:
        for name in needs_of(item) or {"pure"}:
            item.add_marker(name)
        if item.get_closest_marker("torch") and find_missing(TORCH):
            item.add_marker(pytest.mark.skip("PyTorch is not installed in .torch, as in CI (5.7 GB): run `make torch`"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Allow a test, with its fixtures, what it is marked with. The whole stack, a cluster and containers hold all parts."""
    global _allowed
    marks = {mark.name for mark in item.iter_markers()} & NEEDS
    before, _allowed = _allowed, NEEDS if marks & {"stack", "cluster", "docker"} else frozenset(marks)
    try:
        return (yield)
    finally:
        _allowed = before


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Stop an import or a program that needs what the test at work is not marked with; while tests are collected, any."""
    if event == "import":
        used, need = arguments[0], IMPORTS.get(arguments[0].partition(".")[0])
    elif event == "subprocess.Popen":
        used = Path(str(arguments[0])).name
        need = PROGRAMS.get(used)
    else:
        return
    if need is not None and need not in _allowed:
        pytest.fail(
            f"{used} is used without the mark {need!r}: add `pytestmark = pytest.mark.{need}` to the file, or use no {used}"
        )


sys.addaudithook(_watch)
