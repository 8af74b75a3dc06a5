"""Whose a folder below /var/lib/perennial is, and what becomes of one whose stack is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stack import postgres_home
from stack.config import REPO, StackConfig
from stack.postgres_home import IDENTITY, PACKAGE, binary, database_home, prepare_home, remove_home


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackConfig:
    """Return a stack of root's in a folder that only root may enter; its system user is whoever runs this test."""
    monkeypatch.setattr(postgres_home, "HOME", tmp_path / "lib")
    monkeypatch.setattr(postgres_home, "system_user", lambda: "perennial")
    monkeypatch.setattr(postgres_home.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(postgres_home, "_require_reach", lambda *_: None)
    monkeypatch.setattr(postgres_home, "_copy_programs", lambda target: target.mkdir(exist_ok=True))
    var = tmp_path / "closed" / "var"
    var.mkdir(parents=True)
    var.parent.chmod(0o700)
    return StackConfig(repo=REPO, var=var)


def prepare(config: StackConfig) -> str:
    return prepare_home(config, lambda: None)


def test_a_folder_that_only_root_may_enter_holds_no_database(config: StackConfig, tmp_path: Path) -> None:
    assert database_home(config).parent == tmp_path / "lib"


def test_the_program_is_known_before_it_is_copied(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 35."""
    monkeypatch.setattr(postgres_home, "_is_readable", lambda _: False)
    chosen = binary(config, "postgres")
    assert not chosen.exists()
    assert chosen.is_relative_to(database_home(config))
    prepare(config)
    assert binary(config, "postgres") == chosen


def test_root_copies_and_opens_programs_outside_of_the_folder_of_the_system_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, home, opened = tmp_path / "packages", tmp_path / "home", []
    program = packages / PACKAGE / "pginstall18" / "bin" / "initdb"
    program.parent.mkdir(parents=True)
    program.touch(0o700)
    home.mkdir()
    monkeypatch.setattr(postgres_home, "_packages", lambda: packages)
    change = Path.chmod

    def note(path: Path, mode: int) -> None:
        opened.append(path)
        change(path, mode)

    monkeypatch.setattr(Path, "chmod", note)
    postgres_home._copy_programs(home / "programs-1")
    assert opened
    assert [path for path in opened if path.is_relative_to(home)] == []
    assert (home / "programs-1" / program.relative_to(packages)).stat().st_mode & 0o777 == 0o755
    assert sorted(tmp_path.iterdir()) == sorted([packages, home])


def test_folders_are_open_to_the_system_user_under_any_umask(config: StackConfig, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        prepare(config)
    finally:
        os.umask(before)
    assert (tmp_path / "lib").stat().st_mode & 0o777 == 0o755


def test_the_database_of_a_stack_that_is_gone_is_set_aside_once_and_its_processes_are_ended_first(config: StackConfig) -> None:
    """Case 36."""
    assert prepare(config) == ""
    home = database_home(config)
    (home / "data").mkdir()
    assert prepare(config) == ""
    assert (home / "data").exists()
    (config.secrets / IDENTITY).unlink()  # with the clone
    seen: list[bool] = []
    note = prepare_home(config, lambda: seen.append((home / "data").exists()))
    assert seen == [True]
    (aside,) = home.parent.glob(f"{home.name}.*")
    assert (aside / "data").exists()
    assert str(aside) in note
    assert not (database_home(config) / "data").exists()
    assert prepare(config) == ""


def test_a_database_of_an_earlier_version_is_kept_where_it_is_as_long_as_its_password_is_known(
    config: StackConfig, tmp_path: Path
) -> None:
    former = tmp_path / "lib" / str(config.var).strip("/").replace("/", "-")
    (former / "data").mkdir(parents=True)
    assert database_home(config) != former
    config.secrets.mkdir()
    (config.secrets / "postgres_admin").touch()
    assert database_home(config) == former
    assert prepare(config) == ""
    assert database_home(config) == former


def test_two_paths_never_share_a_folder(config: StackConfig, tmp_path: Path) -> None:
    places = [tmp_path / "closed/a-b/var", tmp_path / "closed/a/b/var", tmp_path / "closed" / ("x" * 250) / "var"]
    homes = [database_home(StackConfig(repo=REPO, var=place)) for place in places]
    assert len({*homes}) == 3
    assert max(len(home.name) for home in homes) < 100


def test_removing_leaves_the_database_of_others(config: StackConfig) -> None:
    prepare(config)
    home = database_home(config)
    (home / IDENTITY).write_text("another")
    remove_home(config)
    assert home.exists()
    (home / IDENTITY).write_text((config.secrets / IDENTITY).read_text())
    remove_home(config)
    assert not home.exists()


def test_a_database_stays_where_it_is_when_the_folder_is_opened(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(config)
    home = database_home(config)
    (home / "data").mkdir()
    monkeypatch.setattr(postgres_home, "_is_open", lambda _: True)  # as if its user had run chmod o+x on all folders above
    assert database_home(config) == home
    assert prepare(config) == ""
    assert (home / "data").exists()


def test_an_identity_that_a_full_disk_cut_short_does_not_disown_the_database(config: StackConfig) -> None:
    prepare(config)
    home = database_home(config)
    (home / "data").mkdir()
    (home / IDENTITY).write_text("")
    (config.secrets / "postgres_admin").touch()
    assert prepare(config) == ""
    assert (home / "data").exists()
    assert (home / IDENTITY).read_text() == (config.secrets / IDENTITY).read_text()
