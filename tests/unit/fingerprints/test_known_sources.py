"""What is known of the sources saves parsing them, and is never a wrong answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perennial.config.label import BinaryLabel
from perennial.fingerprints import closure
from perennial.fingerprints.closure import Modules
from perennial.fingerprints.known_sources import PACKAGE, keep_sources, known_sources
from perennial.train.candidates import code_for

MODULES = {
    "__init__": "",
    "stage": '"""A stage."""\n\nfrom perennial import rates\nfrom perennial.cells import cast\n\nlook = rates.look, cast\n',
    "rates": "def look(key):\n    return key\n",
    "cells": "def cast(text):\n    return float(text)\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a small package."""
    package = tmp_path / "perennial"
    package.mkdir()
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(text)
    return package


def digests(package: Path) -> dict[str, str]:
    return Modules(package, known_sources(package)).closure(["perennial.stage"], [])


def refuse(body: bytes) -> None:
    raise AssertionError(f"parsed: {body[:80]!r}")


def test_nothing_is_parsed_that_is_known(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = digests(package)
    keep_sources(package)
    monkeypatch.setattr(closure, "read_source", refuse)
    assert digests(package) == unknown


def test_an_edited_module_is_parsed_and_no_other(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_sources(package)
    before = digests(package)
    edited = package / "cells.py"
    edited.write_bytes(edited.read_bytes() + b"CHANGED = 1\n")
    parsed: list[bytes] = []
    monkeypatch.setattr(closure, "read_source", lambda body, read=closure.read_source: (parsed.append(body), read(body))[1])
    after = digests(package)
    assert parsed == [edited.read_bytes()]
    assert {name for name in after if after[name] != before[name]} == {"perennial.cells"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:50]),
        lambda file: file.write_text("[]"),
        lambda file: file.write_text('{"made_by": 1, "sources": {}}'),
        lambda file: file.write_text(json.dumps({**json.loads(file.read_bytes()), "made_by": "3.11 of other code"})),
        lambda file: file.write_text(json.dumps({**json.loads(file.read_bytes()), "sources": {"a": 1}})),
    ],
    ids=["missing", "empty", "half", "other JSON", "another maker", "other code", "other entries"],
)
def test_a_file_that_cannot_be_used_is_as_good_as_none(package: Path, spoil: Callable[[Path], object]) -> None:
    expected = digests(package)
    file = keep_sources(package)
    spoil(file)
    assert known_sources(package) == {}
    assert digests(package) == expected
    keep_sources(package)
    assert known_sources(package)


def test_it_is_written_once_and_forgets_what_is_no_more(package: Path) -> None:
    file = keep_sources(package)
    first = file.read_bytes(), file.stat().st_ino
    keep_sources(package)
    assert (file.read_bytes(), file.stat().st_ino) == first
    (package / "cells.py").unlink()
    assert len(known_sources(package)) == len(json.loads(keep_sources(package).read_bytes())["sources"]) + 1


def test_several_processes_write_and_read_it_at_once(package: Path) -> None:
    """A reader sees a whole file or none."""
    write = [sys.executable, "-c", "import sys; from pathlib import Path; from perennial.fingerprints import known_sources as k\n"
             "for _ in range(20): k._replace(k._file(Path(sys.argv[1])), k.known_sources(Path(sys.argv[1])) or "
             "{'0' * 64: k.read_source(b'')})", str(package)]  # fmt: skip
    keep_sources(package)
    count = len(known_sources(package))
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(subprocess.run, write, check=True, env={"PYTHONPATH": str(PACKAGE.parent)}) for _ in range(2)]
        while not all(writer.done() for writer in writers):
            assert len(known_sources(package)) == count
        for writer in writers:
            writer.result()
    assert not list(package.parent.glob("perennial.sources.json.*"))


def test_a_module_in_the_middle_of_an_edit_spoils_nothing_for_the_others(package: Path) -> None:
    (package / "cells.py").write_text("def broken(:\n")
    keep_sources(package)
    assert len(known_sources(package)) == len(MODULES) - 1


def test_the_package_gives_the_same_wherever_it_is_installed(tmp_path: Path) -> None:
    """The trainer's image compares its own code with the one that the control plane planned for."""
    shutil.copytree(PACKAGE, tmp_path / "perennial", ignore=shutil.ignore_patterns("__pycache__"))
    show = (
        "from perennial.config.label import BinaryLabel; from perennial.train.candidates import code_for; "
        "label = BinaryLabel(column='late'); print(code_for('mlp', label), code_for('logistic', label))"
    )
    run = subprocess.run(
        [sys.executable, "-c", show], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    label = BinaryLabel(column="late")
    assert run.stdout.split() == [code_for("mlp", label), code_for("logistic", label)]
