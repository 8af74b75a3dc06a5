"""Clones to start, and ports for them; nothing of the trials is left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from trial_clone import Clones
from trial_user import User

from stack.config import REPO, StackConfig
from stack.plan import plan
from stack.postgres_home import HOME, database_home
from stack.probe import taken_by


@pytest.fixture(scope="session")
def free_offset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Return a function that gives an offset at which every port is free, another one each time."""
    folder = tmp_path_factory.mktemp("no-stack")

    def are_free(offset: int) -> bool:
        config = StackConfig(repo=folder, var=folder, offset=offset)
        services = [part.service for part in plan(config) if part.service]
        taken = any(taken_by(port) for service in services for port in service.ports)
        return not taken and not any(path.exists() for service in services for path in service.leaves)

    offsets = (str(offset) for offset in range(2000, 9000, 50) if are_free(offset))
    return lambda: next(offsets)


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """Return a folder that every user may enter, on the disk of this repository where there is one."""
    shared = [folder for folder in ("/tmp", "/var/tmp") if os.stat(folder).st_dev == REPO.stat().st_dev]
    folder = Path(tempfile.mkdtemp(prefix="start-", dir=next(iter(shared), None)))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def clones(place: Path) -> Clones:
    """Return the maker of clones."""
    return Clones(place / "set-up")


@pytest.fixture
def finish() -> Iterator[Callable[[Path, User], None]]:
    """Return a function that names a clone: at the end its stack is stopped, and its databases are removed."""
    named: list[tuple[Path, User, Path]] = []

    def note(clone: Path, user: User) -> None:
        named.append((clone, user, database_home(StackConfig(repo=clone, var=clone / "var"))))

    yield note
    for clone, user, home in named:
        code, text = user.run(clone, "make", "clean")
        if home.parent == HOME:
            for left in HOME.glob(f"{home.name}*"):
                shutil.rmtree(left)
        assert code == 0, text
