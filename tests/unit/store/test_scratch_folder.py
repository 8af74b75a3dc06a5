"""The folder of large temporary files is one that this process can write to."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from perennial.errors import PerennialError
from perennial.store.scratch import scratch_file, scratch_folder


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PERENNIAL_SCRATCH", raising=False)
    monkeypatch.setenv("PERENNIAL_VAR", str(tmp_path / "var"))
    (tmp_path / "var/scratch").mkdir(parents=True)
    return tmp_path / "var"


def test_a_set_folder_comes_before_that_of_the_state_folder_and_of_temporary_files(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scratch_folder() == var / "scratch"
    (var / "scratch").rmdir()
    assert scratch_folder() == Path(tempfile.gettempdir())
    monkeypatch.setenv("PERENNIAL_SCRATCH", str(var))
    assert scratch_folder() == var


def test_a_set_folder_that_does_not_exist_is_named(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SCRATCH", str(var / "none"))
    with pytest.raises(PerennialError, match=r"PERENNIAL_SCRATCH is .*none, which is not a folder"):
        scratch_folder()


def test_an_error_of_the_disk_is_explained_and_another_one_is_left(var: Path) -> None:
    with pytest.raises(PerennialError, match=r"scratch: .*No space left.*set PERENNIAL_SCRATCH"), scratch_file():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(TimeoutError, match="the store"), scratch_file():
        raise TimeoutError("the store")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_cannot_write_to_the_state_folder_writes_to_the_folder_of_temporary_files(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os; from perennial.store.scratch import scratch_file, scratch_folder; os.setgid(65534); os.setuid(65534)"
    code += "\nwith scratch_file(10): print(scratch_folder())"
    for folder in (var, *var.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    for owner, expected in ((0, tempfile.gettempdir()), (65534, str(var / "scratch"))):
        os.chown(var / "scratch", owner, owner)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
