"""Secrets are made once and only their owner reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stack.files import PUBLIC, write_file
from stack.secrets import secret


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_secret_is_made_once(tmp_path: Path) -> None:
    first = secret(tmp_path / "secrets", "one")
    assert len(first) >= 40
    assert secret(tmp_path / "secrets", "one") == first
    assert secret(tmp_path / "secrets", "two") != first


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    secret(tmp_path / "secrets", "one")
    assert mode(tmp_path / "secrets") == 0o700
    assert mode(tmp_path / "secrets" / "one") == 0o600


def test_a_private_file_replaces_an_open_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    assert write_file(path, "new")
    assert (path.read_text(encoding="utf-8"), mode(path)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_with_this_text_is_kept_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "text", mode=PUBLIC)
    before = path.stat().st_ino
    assert not write_file(path, "text")
    assert (path.stat().st_ino, mode(path)) == (before, 0o600)


def test_a_file_has_its_mode_under_any_umask_and_before_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, modes = tmp_path / "file", []
    change = os.fchmod

    def watch(descriptor: int, mode: int) -> None:
        modes.append((os.fstat(descriptor).st_size, os.fstat(descriptor).st_mode & 0o077))
        change(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", watch)
    before = os.umask(0o077)
    try:
        write_file(path, "text", mode=0o755)
    finally:
        os.umask(before)
    assert mode(path) == 0o755
    assert modes == [(0, 0)]
