"""Modules of tests/bench, which find each other as a program's do."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest

from stack.config import REPO


@pytest.fixture(scope="session")
def load_bench() -> Callable[[str], ModuleType]:
    """Return a function that imports a module of tests/bench."""

    def load(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(REPO / "tests" / "bench")
            return importlib.import_module(name)

    return load
