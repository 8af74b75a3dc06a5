"""Each thing that the machine may lack is found, and named with its remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack import machine
from stack.config import REPO


def finding(subject: str, repo: Path, var: Path, setting_up: bool = False) -> machine.Finding:
    return {one.subject: one for one in machine.examine(repo, var, setting_up)}[subject]


def test_a_system_without_the_list_of_sockets_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding("system", tmp_path, tmp_path) == machine.Finding("system", "Linux")
    monkeypatch.setattr(machine, "SOCKETS", tmp_path / "tcp")
    found = finding("system", tmp_path, tmp_path, setting_up=True)
    assert found.found == f"{tmp_path}/tcp does not exist"
    assert found.fix.startswith("Use Linux")


@pytest.mark.parametrize("character", [*machine.UNUSABLE, "\n"])
def test_a_character_that_breaks_a_program_is_named(tmp_path: Path, character: str) -> None:
    found = finding("repository", tmp_path / f"a{character}b", tmp_path)
    assert repr(character) in found.found
    assert found.fix == "Move the repository to another folder."
    assert "PERENNIAL_VAR" in finding("state folder's path", tmp_path, tmp_path / f"a{character}b").fix


def test_spaces_and_other_alphabets_are_well(tmp_path: Path) -> None:
    for name in ("with a space", "über", "数据", "it's, so; #1 & (2) + 3 = @~!"):
        assert not finding("repository", tmp_path / name, tmp_path / name).fix


def test_a_path_of_200_characters_is_well_and_one_too_long_for_a_class_path_is_not() -> None:
    assert not finding("repository", Path("/x" * 100), Path("/tmp")).fix
    found = finding("repository", Path("/x" * 151), Path("/tmp"))
    assert f"302 characters long, at most {machine.MAX_PATH} work" in found.found
    assert found.fix


def test_the_longest_path_leaves_room_in_one_argument() -> None:
    jars = [
        *(REPO / ".spark").glob("jars-*/*.jar"),
        *(REPO / ".spark/lib/python3.11/site-packages/pyspark/jars").glob("*.jar"),
    ]
    assert jars
    longest = sum(len(str(jar.relative_to(REPO))) + machine.MAX_PATH + 2 for jar in jars)
    assert longest + 2 * machine.MAX_PATH < 131_072


@pytest.mark.parametrize(
    ("files", "is_enough"),
    [({}, True), ({"memory.max": "max"}, True), ({"memory.max": "2147483648"}, False), ({"a/memory.max": "2147483648"}, False)],
    ids=["no limit", "max", "of the container", "of its own group"],
)
def test_the_limit_of_a_container_counts_as_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], is_enough: bool
) -> None:
    monkeypatch.setattr(machine, "_control_group", lambda: "a/b")
    monkeypatch.setattr(machine, "MEMORY_GB", 3)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    found = machine.memory(tmp_path)
    assert bool(found.fix) is not is_enough
    assert is_enough or found.found == "2.1 GB, 3 needed"


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["prlimit", *options, sys.executable, "-I", str(REPO / "include/stack/machine.py")]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_a_shell_that_limits_the_address_space_is_told_so_before_the_set_up() -> None:
    assert run().returncode == 0
    refused = run("--as=2000000000")
    assert (refused.returncode, refused.stdout.count("\n")) == (1, 1)
    assert "limited to 2.0 GB by `ulimit -v`" in refused.stdout


def test_an_environment_whose_python_was_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to("/nowhere/python3.11")
    found = finding("environment", tmp_path, tmp_path)
    assert "/nowhere/python3.11, which no longer exists" in found.found
    assert "make distclean setup" in found.fix


def test_a_state_folder_that_cannot_be_written_to_is_named() -> None:
    found = finding("state folder", REPO, Path("/proc/perennial"))
    assert found.found.startswith("/proc cannot be written to: ")
    assert "PERENNIAL_VAR" in found.fix


def test_the_disk_of_the_set_up_is_asked_for_until_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SETUP_GB", 10**9)
    assert finding("disk for the set-up", tmp_path, tmp_path, setting_up=True).fix
    for name in (".venv", ".spark"):
        (tmp_path / name).mkdir()
    assert "disk for the set-up" not in {one.subject for one in machine.examine(tmp_path, tmp_path, setting_up=True)}
