"""The first start of a clone works wherever it lies, whoever starts it; each test is one trial of several things at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trial_clone import SPARK_JOB, Clones, python_of_everybody
from trial_user import WITHOUT_NETWORK, User

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user and cut the network off")

FOREIGN = {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}
"""A locale whose small and capital i are not English ones, and a time zone between the full hours."""


@root_only
def test_root_in_a_closed_folder_of_a_long_path_with_spaces_without_a_network(
    clones: Clones, place: Path, free_offset: Callable[[], str], finish: Callable[[Path, User], None]
) -> None:
    """Cases 35 and 37: as root in its home, umask 077, no network, another locale and time zone; then Spark runs a job."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / ("it's a long name, " + "x" * 60) / ("über " + "x" * 80)
    folder = folder / ("x" * (199 - len(str(folder))))
    assert len(str(folder)) == 200
    root = User(umask=0o077, environment={**FOREIGN, "PERENNIAL_PORT_OFFSET": free_offset()})
    clone = clones.make(folder, root.umask)
    finish(clone, root)
    script = f"make up ONLY=metastore && {SPARK_JOB} && make down"
    code, said = root.run(clone, "sh", "-ec", script, around=WITHOUT_NETWORK)
    assert code == 0, said
    assert said.count("started") == 3
    assert (clone / "var/scratch/warehouse").is_dir()
    assert "ERROR" not in said


@root_only
def test_a_clone_that_was_deleted_and_made_again(
    clones: Clones, place: Path, free_offset: Callable[[], str], finish: Callable[[Path, User], None]
) -> None:
    """Case 36: the database of the first clone is set aside, also while its server still runs."""
    root = User(environment={"PERENNIAL_PORT_OFFSET": free_offset()})
    folder = place / "again" / "clone"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    first = clones.make(folder)
    finish(first, root)
    code, said = root.stack(first, "up", "--only", "postgres")
    assert code == 0, said
    clones.delete(first)
    folder.mkdir(mode=0o700)
    second = clones.make(folder)
    code, said = root.stack(second, "up", "--only", "postgres")
    assert code == 1
    assert "is taken by postgres" in said
    assert "`make down` if it is left from this stack" in said
    assert root.stack(second, "down")[0] == 0
    code, said = root.stack(second, "up", "--only", "postgres")
    assert code == 0, said
    assert "belongs to a stack that was deleted. It was moved to /var/lib/perennial/" in said
    code, said = root.stack(second, "up", "--only", "postgres")
    assert (code, "running" in said, "is gone" in said) == (0, True, False), said
    assert root.stack(second, "down")[0] == 0


@root_only
def test_secrets_that_are_not_those_of_the_database_end_the_start_at_once(
    clones: Clones, place: Path, free_offset: Callable[[], str], finish: Callable[[Path, User], None]
) -> None:
    root = User(environment={"PERENNIAL_PORT_OFFSET": free_offset()})
    clone = clones.make(place / "secrets")
    finish(clone, root)
    assert root.stack(clone, "up", "--only", "postgres")[0] == 0
    assert root.stack(clone, "down")[0] == 0
    (clone / "var/secrets/postgres_admin").write_text("another")
    code, said = root.stack(clone, "up", "--only", "postgres")
    assert code == 1
    assert 'password authentication failed for user "postgres"' in said
    assert "Restore the secrets that it was created with, or remove it and all data of this stack with `make clean`." in said
    assert "Not everything is up, after " in said
    assert float(said.split("Not everything is up, after ")[1].split()[0]) < 30


@root_only
def test_an_ordinary_user_beside_a_stack_of_roots(
    clones: Clones, place: Path, free_offset: Callable[[], str], finish: Callable[[Path, User], None]
) -> None:
    """The whole stack as nobody, umask 027, a space in the path, while root's database and object store run at other ports."""
    python = python_of_everybody()
    root = User(environment={"PERENNIAL_PORT_OFFSET": free_offset(), "PERENNIAL_VAR": str(place / "beside")})
    user = User("nobody", 0o027, {**FOREIGN, "PERENNIAL_PORT_OFFSET": free_offset()})
    mine = place / "of a user" / "clone"
    mine.mkdir(parents=True)
    mine.chmod(0o700)
    clone = clones.make(mine, user.umask, "nobody", python)
    finish(clone, user)
    try:
        assert root.stack(clone, "up", "--only", "s3,postgres")[0] == 0
        # SeaweedFS names its sockets by their ports alone, and a user cannot replace another one's.
        left = Path(f"/tmp/seaweedfs-master-grpc-{8337 + int(user.environment['PERENNIAL_PORT_OFFSET'])}.sock")
        left.touch()
        refused = user.run(clone, "make", "up")
        left.unlink()
        assert f"✗ sockets of s3: {left} of another user" in refused[1]
        assert refused[0] != 0
        code, said = user.run(clone, "make", "up")
        assert code == 0, said
        assert "The stack is up" in said
        assert said.count(" started ") == 8
        code, said = user.run(clone, "make", "status")
        assert (code, said.count("ready")) == (0, 8), said
        assert user.run(clone, "make", "down")[0] == 0
        assert "ready" in root.stack(clone, "status", "--only", "s3")[1]
    finally:
        assert root.stack(clone, "clean")[0] == 0
