"""A stage's code: everything that its entry point imports, less what is listed with a reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

from perennial.config.candidates import FAMILIES
from perennial.fingerprints.closure import Modules
from perennial.fingerprints.code import DECIDES_NOTHING, ENTRY_POINTS, code_digest, modules_of
from perennial.fingerprints.known_sources import PACKAGE, known_sources
from perennial.fingerprints.source import Source, read_source
from perennial.store.content_name import sha256
from perennial.train.candidates import module_of

CANDIDATES = tuple(FAMILIES)
RESULTS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in ENTRY_POINTS if name != "train"},
    **{candidate: ("train", module_of(candidate)) for candidate in CANDIDATES},
}
"""What has a fingerprint of its own: the stages, and of training each candidate."""

Digests = dict[str, dict[str, str]]


@cache
def known() -> Mapping[str, Source]:
    """Return what is known of the modules as they are, whether the set-up has written it down or not."""
    if stored := known_sources():
        return stored
    return {sha256(body): read_source(body) for body in (path.read_bytes() for path in PACKAGE.rglob("*.py"))}


def digests(package: Path) -> Digests:
    """Return {result: {module: digest}} of a package's files."""
    modules = Modules(package, known())
    return {
        name: modules.closure([ENTRY_POINTS[stage].entry, *more], ENTRY_POINTS[stage].left_out)
        for name, (stage, *more) in RESULTS.items()
    }


def moved(before: Digests, after: Digests) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def copied(folder: Path) -> Path:
    """Return a copy of the package."""
    return Path(shutil.copytree(PACKAGE, folder / "perennial", ignore=shutil.ignore_patterns("__pycache__")))


def file_of(package: Path, module: str) -> Path:
    place = package.parent.joinpath(*module.split("."))
    file = place.with_suffix(".py")
    return file if file.is_file() else place / "__init__.py"


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """Change what a module does, for a moment."""
    body = path.read_bytes()
    path.write_bytes(body + b"\n_CHANGED = 1\n")
    yield
    path.write_bytes(body)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package; each test leaves it as it was."""
    return copied(tmp_path_factory.mktemp("tree"))


@pytest.mark.exhaustive
def test_a_comment_or_a_docstring_anywhere_moves_nothing(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    before, files = digests(copy), list(copy.rglob("*.py"))
    for path in files:
        text = re.sub(r'(?m)^(\s*)"""(?=\S)', r'\1"""Reworded: ', path.read_text(encoding="utf-8"))
        path.write_text(f"# A comment.\n{text}\n# Another one.\n", encoding="utf-8")
    assert len(files) > 150
    assert digests(copy) == before


@pytest.mark.exhaustive
def test_a_change_of_a_module_moves_the_results_that_it_decides_and_no_others(package: Path) -> None:
    before = digests(package)
    decides: dict[str, set[str]] = {}
    for result, modules in before.items():
        for module in modules:
            decides.setdefault(module, set()).add(result)
    assert len(decides) > 50
    for module, results in decides.items():
        with changed(file_of(package, module)):
            assert moved(before, digests(package)) == results, module


@pytest.mark.exhaustive
def test_a_change_of_any_other_module_moves_nothing(package: Path) -> None:
    before = digests(package)
    files = {file_of(package, module) for modules in before.values() for module in modules}
    others = [path for path in package.rglob("*.py") if path not in files]
    assert len(others) > 100
    with ExitStack() as stack:
        for path in others:
            stack.enter_context(changed(path))
        assert digests(package) == before


@pytest.mark.parametrize(
    ("result", "module"),
    [
        *[(candidate, f"perennial.{name}") for candidate in CANDIDATES for name in (
            "config.inputs", "lake.tables", "models.scoring", "config.derived", "models.metrics", "train.model", "train.artefacts"
        )],
        ("clean", "perennial.spark.sql"),
        ("clean", "perennial.spark.tables"),
        ("clean", "perennial.spark.conf"),
        ("analyse", "perennial.spark.tables"),
        ("analyse", "perennial.analyse.features"),
        ("profile", "perennial.spark.sql"),
        ("profile", "perennial.analyse.day_profile"),
        ("evaluate", "perennial.config.inputs"),
        ("evaluate", "perennial.lake.tables"),
        ("evaluate", "perennial.evaluate.bootstrap"),
        ("release", "perennial.deploy.golden"),
        ("release", "perennial.config.inputs"),
        ("collect", "perennial.collect.content"),
    ],
)  # fmt: skip
def test_what_decides_a_result_counts(result: str, module: str) -> None:
    assert module in modules_of(*RESULTS[result])


@pytest.mark.parametrize(
    ("result", "module"),
    [
        ("mlp", "perennial.train.logistic"),
        ("logistic", "perennial.train.mlp"),
        ("file", "perennial.train.mlp"),
        ("keras", "perennial.train.mlp"),
        ("pytorch", "perennial.train.keras_training"),
        ("mlp", "perennial.train.author_code"),
        ("sklearn", "perennial.train.author_code"),
        ("evaluate", "perennial.train.mlp"),
        ("collect", "perennial.collect.land"),
        ("analyse", "perennial.analyse.day_profile"),
        ("profile", "perennial.analyse.features"),
        ("mlp", "perennial.train.plan"),
        ("mlp", "perennial.train.trainings"),
    ],
)
def test_what_decides_nothing_of_a_result_does_not(result: str, module: str) -> None:
    assert module not in modules_of(*RESULTS[result])


def test_another_candidate_moves_no_fingerprint(package: Path) -> None:
    """It brings a module of its own, a line in the list of candidates, and what both share with nothing else."""
    before = digests(package)
    (package / "train" / "forest.py").write_text(
        "from perennial.train import forest_nodes\n\n\ndef fit(*_):\n    return forest_nodes.NODES\n"
    )
    (package / "train" / "forest_nodes.py").write_text("NODES = []\n")
    registry = package / "train" / "candidates.py"
    body = registry.read_text(encoding="utf-8")
    line = '    "forest": _Family("perennial.train.forest", ("lightgbm",), 300),\n'
    changed = body.replace('    "logistic":', f'{line}    "logistic":')
    assert changed != body
    registry.write_text(changed, encoding="utf-8")
    assert moved(before, digests(package)) == set()
    entries = [ENTRY_POINTS["train"].entry, "perennial.train.forest"]
    closure = Modules(package, {}).closure(entries, ENTRY_POINTS["train"].left_out)
    assert {"perennial.train.forest", "perennial.train.forest_nodes"} == set(closure) - set(before["logistic"])
    registry.write_text(body, encoding="utf-8")
    for name in ("forest", "forest_nodes"):
        (package / "train" / f"{name}.py").unlink()


def test_a_module_that_is_new_to_a_stage_counts_by_itself(package: Path) -> None:
    before = digests(package)
    (package / "clean" / "repair.py").write_text("FACTOR = 2\n")
    path = package / "clean" / "cells.py"
    body = path.read_text(encoding="utf-8")
    path.write_text(
        f"{body}\n\ndef _repair():\n    from perennial.clean.repair import FACTOR\n    return FACTOR\n", encoding="utf-8"
    )
    assert set(digests(package)["clean"]) - set(before["clean"]) == {"perennial.clean.repair"}
    path.write_text(body, encoding="utf-8")
    (package / "clean" / "repair.py").unlink()


def test_each_module_that_is_left_out_is_one_that_a_stage_meets() -> None:
    """A reason is kept no longer than its use."""
    modules = Modules(PACKAGE, known_sources())
    met = {
        name: modules.reached([ENTRY_POINTS[stage].entry, *more], ENTRY_POINTS[stage].left_out)
        for name, (stage, *more) in RESULTS.items()
    }
    assert set(DECIDES_NOTHING) - set().union(*met.values()) == set()
    for name, stage in ENTRY_POINTS.items():
        own = {result for result, (of, *_) in RESULTS.items() if of == name}
        assert set(stage.decides_nothing) - set().union(*(met[result] for result in own)) == set(), name


def test_each_reason_is_given() -> None:
    reasons = {**DECIDES_NOTHING, **{name: why for stage in ENTRY_POINTS.values() for name, why in stage.decides_nothing.items()}}
    assert [name for name, why in reasons.items() if len(why) < 15] == []


def test_what_is_left_out_still_shows_what_it_hands_on(tmp_path: Path) -> None:
    package = tmp_path / "perennial"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "stage": "from perennial.contract import Inputs, Other\n",
        "contract": "from perennial.inputs import Inputs\nfrom perennial.unused import Thing\nclass Other: ...\n",
        "inputs": "class Inputs: ...\n",
        "unused": "class Thing: ...\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    found = Modules(package, {}).closure(["perennial.stage"], ["perennial.contract"])
    assert list(found) == ["perennial", "perennial.inputs", "perennial.stage"]


def test_a_module_that_is_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "perennial").mkdir()
    (tmp_path / "perennial" / "__init__.py").touch()
    (tmp_path / "perennial" / "stage.py").write_text("from perennial.clean.cells import cast\n")
    with pytest.raises(ValueError, match=r"perennial\.clean\.cells"):
        Modules(tmp_path / "perennial", {}).closure(["perennial.stage"], [])
    with pytest.raises(ValueError, match="no_such_module"):
        code_digest("train", "perennial.train.no_such_module")


def test_no_module_that_counts_imports_by_a_name_that_its_text_does_not_show() -> None:
    """The exceptions: a candidate's module, named to `code_digest`; Python of a pipeline, whose text counts; scikit-learn."""
    counting = {file_of(PACKAGE, module): module for of in RESULTS.values() for module in modules_of(*of)}
    words = ("import_module", "__import__", "runpy", "exec(")
    dynamic = {module for path, module in counting.items() if any(word in path.read_text(encoding="utf-8") for word in words)}
    authors = {"perennial.clean.step_worker", "perennial.train.author_code"}
    assert dynamic == {"perennial.train.model", "perennial.train.estimators", *authors}


def test_digests_of_stages_differ() -> None:
    found = {name: code_digest(*of) for name, of in RESULTS.items()}
    assert len(set(found.values())) == len(RESULTS)
    assert read_source(b"a = 1").digest != read_source(b"b = 1").digest


def test_a_package_that_takes_the_place_of_a_module_counts(package: Path) -> None:
    before = digests(package)
    (package / "evaluate" / "gate").mkdir()
    (package / "evaluate" / "gate" / "__init__.py").write_text("RULE = 1\n")
    try:
        assert "evaluate" in moved(before, digests(package))
    finally:
        shutil.rmtree(package / "evaluate" / "gate")


CHANGED = """
import os, sys
from perennial.errors import PerennialError
from perennial.evaluate import gate
from perennial.fingerprints.code import code_digest, refuse_changed_code

if sys.argv[1] == "before the digest":
    os.utime(gate.__file__)
code_digest("evaluate")
if sys.argv[1] == "after it":
    os.utime(gate.__file__)
refuse_changed_code()
"""


@pytest.mark.parametrize("moment", ["before the digest", "after it", "never"])
def test_a_file_that_changes_while_its_code_runs_is_refused(moment: str, package: Path) -> None:
    """Otherwise a result of the old code would have the digest of the new one."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", CHANGED, moment], env=environment, capture_output=True, text=True)
    found = "Perennial's own files changed while this process ran: perennial.evaluate.gate" in done.stderr
    assert (done.returncode, found) == ((0, False) if moment == "never" else (1, True)), done.stderr


def test_bytecode_of_another_state_of_a_file_is_not_used(package: Path) -> None:
    """Python itself takes a file for the one before if size and time agree, as those of an archive with fixed times do."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = []
    for value in (1, 1, 2):
        (package / "state.py").write_text(f"VALUE = {value}\n")
        os.utime(package / "state.py", (1_700_000_000, 1_700_000_000))
        command = [sys.executable, "-c", "from perennial.state import VALUE; print(VALUE)"]
        found.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    (package / "state.py").unlink()
    assert found == ["1\n", "1\n", "2\n"]
