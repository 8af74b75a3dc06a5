"""The user of the services of root's stack gets what services write and read, and nothing that root's commands obey."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from trial_clone import python_of_everybody

from perennial.runtime.process_record import Record
from perennial.settings import SERVICE_MARK
from perennial.store.scratch import SCRATCH
from stack import service_user
from stack.config import StackConfig
from stack.errors import StackError
from stack.files import PUBLIC, open_log, write_file
from stack.process import Service, start, stop
from stack.roles import Role
from stack.seaweedfs import prepare_s3
from stack.secrets import secret
from stack.server import server_services
from stack.service_user import FOLDERS, HOME, PASSWORDS, SERVICE_USER, adapt, give_tree, identity, share
from stack.system_user import find_owner
from stack.unprivileged import find_obstacle, settle_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

STRANGER = (65534, 65534)


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state folder whose services run as another user."""
    monkeypatch.setattr(service_user, "find_owner", lambda _: STRANGER)
    var = tmp_path / "var"
    for name in FOLDERS:
        (var / name).mkdir(parents=True)
        give_tree(var / name, STRANGER)
    return var


def owner(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid


READ = ("s3.json", "signing_key", "jobs/aws_credentials", "serving/aws_credentials")
"""Secrets that services read."""


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_all_secrets_are_roots_and_those_of_services_are_readable_for_them(var: Path) -> None:
    folder = var / "secrets"
    for name in (*READ, PASSWORDS, "postgres_admin", "aws_credentials"):
        write_file(folder / name, "word")
    share(var)
    assert {(owner(folder / name), mode(folder / name)) for name in READ} == {((0, STRANGER[1]), 0o640)}
    assert {(owner(folder / name), mode(folder / name)) for name in ("jobs", "serving")} == {((0, STRANGER[1]), 0o750)}
    assert owner(folder / "postgres_admin") == owner(folder / "aws_credentials") == (0, 0)
    assert mode(folder / "postgres_admin") == mode(folder / "aws_credentials") == mode(folder / PASSWORDS) == 0o600
    assert owner(folder / PASSWORDS) == STRANGER  # Airflow opens it to write
    secret(folder, "later")
    assert (owner(folder), folder.stat().st_mode & 0o777) == ((0, STRANGER[1]), 0o710)


def test_secrets_that_services_owned_are_taken_back_from_a_process_that_holds_them(var: Path, tmp_path: Path) -> None:
    """Root's next command reads the keys of the model servers, and a file of keys may name a program to run."""
    folder, other = var / "secrets", tmp_path / "other"
    for name in READ:
        write_file(folder / name, "word")
    for path in (folder / "jobs", folder / "serving"):
        give_tree(path, STRANGER)
    os.chown(folder / "signing_key", *STRANGER)
    other.write_text("program")
    (folder / "jobs/aws_credentials").unlink()
    (folder / "jobs/aws_credentials").symlink_to(other)
    os.chown(folder / "jobs/aws_credentials", *STRANGER, follow_symlinks=False)
    with (folder / "serving/aws_credentials").open("a") as held, (folder / "signing_key").open("a") as key:
        share(var)
        held.write("program")
        key.write("program")
    assert {(folder / name).read_text() for name in READ if (folder / name).exists()} == {"word"}
    assert not (folder / "jobs/aws_credentials").is_symlink()
    assert {owner(path)[0] for path in folder.rglob("*")} == {0}
    assert owner(other) == (0, 0)


@pytest.mark.parametrize("planted", ["", "credential_process = program"])
def test_a_start_writes_the_keys_of_services_again_and_closes_none_to_them(checkout: StackConfig, planted: str) -> None:
    assert settle_user(checkout) is None
    prepare_s3(checkout)
    share(checkout.var)
    keys = checkout.credentials(Role.SERVING)
    text = keys.read_text()
    give_tree(keys.parent, find_owner(SERVICE_USER) or STRANGER)
    keys.write_text(planted or text)
    for _ in range(2):
        prepare_s3(checkout)
        assert (keys.read_text(), owner(keys)[0], mode(keys)) == (text, 0, 0o640)
        share(checkout.var)
    rights = f"test -r {keys} && ! test -w {keys} && ! test -w {keys.parent} && ! test -w {checkout.secrets}"
    subprocess.run(["sh", "-c", rights], check=True, **identity(checkout.var))


def test_processes_of_other_users_are_not_stopped_with_a_service(checkout: StackConfig) -> None:
    """The services' user may make a number of another process part of a service."""
    assert settle_user(checkout) is None
    victim = subprocess.Popen(
        ["sleep", "60"], env={SERVICE_MARK: "one", "PERENNIAL_VAR": str(checkout.var)}, start_new_session=True
    )
    checkout.run.mkdir()
    record = Record(victim.pid, psutil.Process(victim.pid).create_time())
    (checkout.run / "one.json").write_text(json.dumps(asdict(record)))
    try:
        assert not stop(checkout, Service(name="one", argv=(), is_ready=lambda: True))
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_services_write_large_temporary_files_to_a_folder_that_a_start_of_root_made(checkout: StackConfig) -> None:
    checkout.write_environment()
    assert mode(checkout.var / SCRATCH) == 0o700
    assert settle_user(checkout) is None
    subprocess.run(["touch", checkout.var / SCRATCH / "file"], check=True, **identity(checkout.var))


def test_a_model_server_keeps_its_newest_number_and_a_folder_of_an_earlier_version_is_not_needed(checkout: StackConfig) -> None:
    assert settle_user(checkout) is None
    (service,) = server_services(checkout)
    number = Path(service.argv[service.argv.index("--newest-file") + 1])
    write = f"mkdir -p {number.parent} && echo 1 > {number}"
    subprocess.run(["sh", "-c", write], check=True, **identity(checkout.var))
    shutil.rmtree(number.parent)
    share(checkout.var)


def test_settings_that_root_writes_into_folders_of_services_are_theirs(var: Path) -> None:
    write_file(var / "s3" / "security.toml", "word")
    share(var)
    assert owner(var / "s3" / "security.toml") == STRANGER


def test_without_that_user_nothing_changes(tmp_path: Path) -> None:
    write_file(tmp_path / "secrets" / "s3.json", "word")
    secret(tmp_path / "secrets", "one")
    share(tmp_path)
    assert owner(tmp_path / "secrets" / "s3.json") == (0, 0)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (identity(tmp_path), adapt(tmp_path, {"TMPDIR": "/x"})) == ({}, {"TMPDIR": "/x"})


def test_links_of_a_folder_give_away_nothing_of_root(var: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch(0o600)
    (var / "s3" / "link").symlink_to(victim)
    os.link(victim, var / "s3" / "name")
    share(var)
    give_tree(var / "s3", STRANGER)
    assert owner(victim) == (0, 0)
    (var / "log" / "s3.log").symlink_to(victim)
    with pytest.raises(StackError, match=r"s3.log is a link, expected a regular file. Remove it"):
        open_log(var / "log" / "s3.log")
    write_file(var / "s3" / "link", victim.read_text(), mode=PUBLIC)
    assert mode(victim) == 0o600
    assert not (var / "s3" / "link").is_symlink()


def test_a_log_belongs_to_the_owner_of_its_folder(var: Path) -> None:
    open_log(var / "log" / "s3.log").close()
    assert owner(var / "log" / "s3.log") == STRANGER


def test_the_environment_names_no_folder_of_root(var: Path) -> None:
    found = adapt(var, {"TMPDIR": "/root/tmp", "XDG_RUNTIME_DIR": "/run/user/0", "HOME": "/root", "KEPT": "1"})
    assert (found["HOME"], found["USER"], found["KEPT"]) == (str(var / HOME), SERVICE_USER, "1")
    assert not {"TMPDIR", "XDG_RUNTIME_DIR"} & found.keys()
    assert identity(var)["user"] == SERVICE_USER


def test_files_that_the_user_cannot_read_are_named(checkout: StackConfig) -> None:
    assert find_obstacle(checkout) is None
    for path, mode, text in (
        (checkout.repo / "dags" / "one.py", 0o600, f"cannot read {checkout.repo / 'dags' / 'one.py'}"),
        (checkout.repo / "plugins", 0o700, f"cannot read {checkout.repo / 'plugins'}"),
        (checkout.repo, 0o700, f"{checkout.repo} is closed to it"),
        (checkout.repo / ".venv/bin/weed", 0o744, "cannot read"),
        (checkout.var, 0o700, f"cannot read {checkout.var}"),
    ):
        before = path.stat().st_mode
        path.chmod(mode)
        find_obstacle.cache_clear()
        obstacle = find_obstacle(checkout)
        assert obstacle is not None
        assert text in obstacle.reason, path
        assert "Move the checkout" in obstacle.remedy
        path.chmod(before)
    os.chown(checkout.var, *STRANGER)
    find_obstacle.cache_clear()
    assert f"{checkout.var} belongs to nobody" in str(find_obstacle(checkout))


def test_the_closed_folder_of_a_linked_python_is_named(checkout: StackConfig, open_folder: Path) -> None:
    home = open_folder / "home"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").touch(0o755)
    checkout.python.unlink()
    checkout.python.symlink_to(home / "bin" / "python")
    home.chmod(0o700)
    obstacle = find_obstacle(checkout)
    assert obstacle is not None
    assert obstacle.reason.endswith(f"cannot run {checkout.python}: {home} is closed to it")


def test_a_closed_file_that_a_setting_names_is_given_to_the_user(
    checkout: StackConfig, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = open_folder / "secret" / "tokens"
    tokens.parent.mkdir()
    tokens.touch(0o600)
    monkeypatch.setenv("PERENNIAL_SERVER_TOKENS", str(tokens))
    obstacle = find_obstacle(checkout)
    assert obstacle is not None
    assert obstacle.reason == f"{SERVICE_USER} cannot read {tokens}"
    assert f"`chown {SERVICE_USER} {tokens}`" in obstacle.remedy
    assert obstacle.needs_user
    tokens.parent.chmod(0o700)
    find_obstacle.cache_clear()
    obstacle = find_obstacle(checkout)
    assert obstacle is not None
    assert obstacle.remedy == f"Move {tokens}, which a setting names, to a folder that every user may enter."


def test_services_that_run_keep_their_user(checkout: StackConfig) -> None:
    service = Service(name="one", argv=("sleep", "60"), is_ready=lambda: True)
    start(checkout, service)
    try:
        assert "as root until you stop them" in str(settle_user(checkout))
        assert not (checkout.var / HOME).exists()
    finally:
        stop(checkout, service)


@pytest.fixture
def checkout(open_folder: Path) -> StackConfig:
    """Return a checkout in which every user may read all; its Python is the machine's."""
    repo = open_folder / "checkout"
    for name in ("dags/one.py", "include/two.py", "plugins/three.py", ".venv/bin/weed", "pipelines/a/pipeline.yaml"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).touch(0o755)
    (repo / "var").mkdir()
    (repo / ".venv/bin/python").symlink_to(python_of_everybody())
    find_obstacle.cache_clear()
    return StackConfig(repo=repo, var=repo / "var", pipelines=repo / "pipelines")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user may enter; pytest closes its own ones."""
    folder = Path(tempfile.mkdtemp(prefix="open-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
