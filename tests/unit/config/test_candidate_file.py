"""The Python of candidates: the rules of its file, whom it is run for, and settings that only scikit-learn can judge."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_dump, safe_load

from perennial.cli import run_command
from perennial.config.candidate_file import candidate_problems
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.errors import PipelineRefusedError
from perennial.runtime import environment
from perennial.train.check import candidate_problems as settings_problems

Factory = Callable[..., Pipeline]
TRUST = "PERENNIAL_TRUSTED_PIPELINES"
BUILD = "import keras\n\n\ndef build(columns, task):\n    return keras.Sequential([keras.layers.Dense(1)])\n"
FIT = "from sklearn import svm\n\n\ndef fit(rows, task, seed):\n    return svm.SVC(probability=True).fit(rows.x, rows.y)\n"


@pytest.mark.parametrize(
    ("family", "text", "problem"),
    [
        ("keras", "def make(columns, task): return 1\n", "it defines no function build. Write def build(columns, task)"),
        ("keras", "def build(columns): return 1\n", "line 1: build must take two arguments, the columns and the task"),
        ("keras", "def build(a, b, c): return 1\n", "line 1: build must take two arguments"),
        ("file", "def fit(rows, task): return 1\n", "line 1: fit must take three arguments, the rows, the task and the seed"),
        (
            "keras",
            f"import torch\n{BUILD}",
            "line 1: it imports 'torch'. Only Python's own modules, keras, lightgbm, numpy, scipy",
        ),
        ("pytorch", BUILD, "line 1: it imports 'keras'. Only Python's own modules, numpy, torch are possible"),
        ("file", f"import torch\n{FIT}", "line 1: it imports 'torch'. Only Python's own modules, keras, lightgbm, numpy, scipy"),
        ("file", "def fit(rows, task, seed:\n", "line 1: '(' was never closed"),
    ],
)
def test_a_file_that_cannot_be_a_candidate_is_told_with_its_line(family: str, text: str, problem: str) -> None:
    assert any(problem in found for found in candidate_problems(text, family)), candidate_problems(text, family)


def test_a_function_of_the_right_arguments_is_a_candidate() -> None:
    assert candidate_problems(BUILD, "keras") == candidate_problems(FIT, "file") == []
    assert candidate_problems("def build(columns, task, units=(8,)): return 1\n", "keras") == []
    assert candidate_problems("def fit(*everything): return 1\n", "file") == []


def write(pipeline_factory: Factory, candidates: Any, **files: str) -> Path:
    """Write a pipeline with some candidates and their files, and return the path of its YAML."""
    folder = pipeline_factory().folder
    document = safe_load((folder / "pipeline.yaml").read_text())
    document.setdefault("training", {})["candidates"] = candidates
    (folder / "pipeline.yaml").write_text(safe_dump(document, sort_keys=False))
    (folder / "candidates").mkdir()
    for name, text in files.items():
        (folder / "candidates" / f"{name}.py").write_text(text)
    return folder / "pipeline.yaml"


def refusal(yaml: Path) -> str:
    with pytest.raises(PipelineRefusedError) as refused:
        read_pipeline(yaml)
    return str(refused.value)


def test_python_of_candidates_runs_only_for_pipelines_that_the_installation_trusts(
    pipeline_factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml = write(pipeline_factory, {"net": {"family": "keras"}, "file": None}, net=BUILD, file=FIT)
    for names in ("", "other, machine_fault", "*"):
        monkeypatch.setenv(TRUST, names)
        text = refusal(yaml)
        for name in ("net", "file"):
            assert f"candidates/{name}.py: this installation does not run Python of pipeline 'machine_faults'" in text
        assert f"add its name to {TRUST} in .env, and run `make down up`" in text
        assert "Otherwise name a family of Perennial" in text
    monkeypatch.setenv(TRUST, "other, machine_faults")
    pipeline = read_pipeline(yaml)
    assert [pipeline.candidate_file(name) for name in ("net", "file")] == [BUILD, FIT]


@pytest.mark.parametrize(
    "words", [["validate", "machine_faults"], ["run", "machine_faults", "--date", "2026-03-01"]], ids=" ".join
)
def test_no_command_runs_a_candidate_that_is_not_trusted(
    pipeline_factory: Factory, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    yaml = write(pipeline_factory, ["file"], file=f"raise SystemExit('it ran')\n{FIT}")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(yaml.parents[1]))
    monkeypatch.delenv(TRUST, raising=False)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        assert run_command([*words, "--json"]) == 1
    assert "this installation does not run Python of pipeline 'machine_faults'" in out.getvalue()


def test_every_mismatch_of_candidates_and_files_is_listed(pipeline_factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = write(pipeline_factory, {"net": {"family": "keras"}, "file": None, "mlp": None}, nett=BUILD, mlp=FIT, file="x = 1\n")
    monkeypatch.setenv(TRUST, "machine_faults")
    text = refusal(yaml)
    assert "training.candidates.net has no file candidates/net.py that defines build" in text
    assert "candidates/nett.py: the YAML has no candidate 'nett' of the family keras, pytorch, file. Did you mean 'net'?" in text
    assert "candidates/mlp.py: the YAML has no candidate 'mlp' of the family keras, pytorch, file." in text
    assert "candidates/file.py: it defines no function fit. Write def fit(rows, task, seed)" in text


def test_a_network_of_pytorch_is_refused_where_pytorch_is_not_installed(
    pipeline_factory: Factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    yaml = write(pipeline_factory, {"mlp": None, "net": {"family": "pytorch"}}, net="def build(columns, task):\n    return 1\n")
    monkeypatch.setenv(TRUST, "machine_faults")
    number = next(index for index, line in enumerate(yaml.read_text().splitlines(), start=1) if "net:" in line)
    pipeline, python = read_pipeline(yaml), tmp_path / ".torch/bin/python"
    monkeypatch.setitem(environment.PYTHONS, environment.TORCH, python)
    (problem,) = settings_problems(pipeline)
    assert problem.startswith(
        f"pipeline.yaml, line {number}: training.candidates.net: pytorch needs PyTorch, and {python} does not"
    )
    assert "Run `make torch` (5.7 GB)" in problem
    assert settings_problems(pipeline, "mlp") == []
    monkeypatch.setenv("PERENNIAL_RUNTIME", "kubernetes")  # its pods have PyTorch in their image
    assert settings_problems(pipeline) == []
    monkeypatch.undo()
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setitem(environment.PYTHONS, environment.TORCH, python)
    assert settings_problems(pipeline) == []


def test_settings_that_scikit_learn_refuses_are_listed_with_their_lines(
    pipeline_factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    forest = {"family": "sklearn", "estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimator": 200}}
    yaml = write(pipeline_factory, {"mlp": None, "forest": forest, "svm": {"family": "sklearn", "estimator": "sklearn.svm.SVV"}})
    lines = yaml.read_text().splitlines()
    number = next(index for index, line in enumerate(lines, start=1) if "n_estimator" in line)
    found = settings_problems(read_pipeline(yaml))
    assert found[0].startswith(
        f"pipeline.yaml, line {number}: training.candidates.forest.params.n_estimator: unknown parameter. "
        "Did you mean 'n_estimators'?"
    )
    assert "training.candidates.svm.estimator: scikit-learn has no sklearn.svm.SVV. Did you mean 'sklearn.svm.SVC'?" in found[1]
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(yaml.parents[1]))
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        assert run_command(["validate", "machine_faults", "--json"]) == 1
    assert all(text in out.getvalue() for text in ("params.n_estimator", "svm.estimator"))
