"""Secrets are made once and only their owner reads them."""

from __future__ import annotations

from pathlib import Path

from stack.secrets import secret, write_private


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
    write_private(path, "new")
    assert (path.read_text(encoding="utf-8"), mode(path)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]
