"""What a machine cannot give is said in one sentence, by the doctor and by the start, before anything is started."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from trial_clone import Clones
from trial_user import User

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount what these trials need")

NO_EXECUTION = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount --bind . . && mount -o remount,bind,noexec . && cd "$PWD" && exec "$@"',
    "sh",
)
SMALL_DISK = ("unshare", "--mount", "sh", "-c", 'mkdir -p var && mount -t tmpfs -o size=50m tmpfs var && exec "$@"', "sh")
LITTLE_MEMORY = ("prlimit", "--as=3000000000")


@pytest.fixture(scope="module")
def clone(clones: Clones, place: Path) -> Path:
    """Return one clone for all refusals: none of them changes it."""
    return clones.make(place / "refused")


@pytest.fixture(scope="module")
def root(free_offset: Callable[[], str]) -> User:
    return User(environment={"PERENNIAL_PORT_OFFSET": free_offset()})


def refusal(root: User, clone: Path, *around: str) -> str:
    """Return what both say."""
    said = []
    for target in ("doctor", "up"):
        code, text = root.run(clone, "make", target, around=around)
        assert code != 0
        said.append([line for line in text.splitlines() if line.startswith("✗")])
        assert len(said[-1]) == 1, text
    assert said[0] == said[1]
    assert not [*clone.glob("var/run/*.json")]
    return said[0][0]


def test_a_file_system_without_execution(root: User, clone: Path) -> None:
    said = refusal(root, clone, *NO_EXECUTION)
    assert f"{clone} is on a file system without execution (mounted noexec). Move the repository" in said


def test_a_disk_without_room(root: User, clone: Path) -> None:
    said = refusal(root, clone, *SMALL_DISK)
    assert "✗ disk: 0.1 GB free, 4 needed. Free 3.9 GB on the disk of " in said
    assert "PERENNIAL_VAR" in said


def test_memory_too_small_for_the_heap(root: User, clone: Path) -> None:
    assert "limited to 3.0 GB by `ulimit -v`, 6 needed for Java's heap. Run `ulimit -v unlimited`" in refusal(
        root, clone, *LITTLE_MEMORY
    )


def test_a_port_that_is_taken(root: User, clone: Path) -> None:
    port = 5480 + int(root.environment["PERENNIAL_PORT_OFFSET"])
    with socket.create_server(("127.0.0.1", port)):
        said = refusal(root, clone)
    assert f"✗ ports of postgres: {port} is taken by " in said
    assert f"(pid {os.getpid()})" in said


def test_a_path_that_java_cannot_take(root: User, clones: Clones, clone: Path) -> None:
    bad = clone.with_name("a:b")
    clone.rename(bad)
    try:
        assert "holds ':', which Java or PostgreSQL cannot take. Move the repository to another folder." in refusal(root, bad)
    finally:
        bad.rename(clone)


def test_a_machine_without_the_right_python(clones: Clones, place: Path) -> None:
    programs = place / "programs"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if not program.name.startswith("python") and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    fresh = clones.checkout(place / "fresh")
    bare = User(environment={"PATH": str(programs)})
    assert "Python 3.11 is not on the PATH. Install it" in refusal(bare, fresh)
    shutil.rmtree(fresh)
