"""A cleaning step in Python: what its file may hold, and where it may run at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from perennial.cli import run_command
from perennial.config.clean_step import LIBRARIES, step_problems
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.errors import PipelineRefusedError
from perennial.sql.check import check_sql
from stack.config import REPO

STEP = "import pandas as pd\n\n\ndef clean(df: pd.DataFrame) -> pd.DataFrame:\n    return df\n"
TRUST = "PERENNIAL_TRUSTED_PIPELINES"


@pytest.mark.parametrize(
    "text",
    [
        STEP,
        "import re, datetime\nfrom numpy import nan\nfrom pyarrow import compute as pc\ndef clean(df, /, limit=3): return df\n",
        "def helper(x): return x\ndef clean(df, *, strict=False): return helper(df)\n",
    ],
    ids=["plain", "libraries", "options"],
)
def test_a_function_of_one_frame_is_a_step(text: str) -> None:
    assert step_problems(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def clean(df):\n  return df[\n", "line 2: '[' was never closed"),
        ("def tidy(df): return df\n", "it defines no function clean. Write def clean(df: pd.DataFrame) -> pd.DataFrame"),
        ("clean = lambda df: df\n", "it defines no function clean"),
        ("def clean(): return 1\n", "line 1: clean must take one argument, the DataFrame"),
        ("def clean(df, day): return df\n", "line 1: clean must take one argument"),
        ("def clean(df, *, day): return df\n", "line 1: clean must take one argument"),
        ("async def clean(df): return df\n", "line 1: clean must take one argument"),
        (f"{STEP}def clean(df): return df\n", "line 6: clean is defined again"),
        (f"from rules import limits\n{STEP}", "line 1: it imports 'rules'. Only Python's own modules, numpy, pandas, pyarrow"),
        (f"from . import rules\n{STEP}", "line 1: it imports '.'"),
        ("def clean(df):\n    import perennial.errors\n    return df\n", "line 2: it imports 'perennial.errors'"),
        (f"x = {'(' * 300}1{')' * 300}\n{STEP}", "too many nested parentheses"),
    ],
    ids=[
        "syntax", "other name", "lambda", "no argument", "two", "keyword", "async", "twice", "sibling", "relative", "ours", "deep"
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_a_step_is_told_with_its_line(text: str, problem: str) -> None:
    assert any(problem in found for found in step_problems(text)), step_problems(text)


def write_step(pipeline_factory: Callable[..., Pipeline], text: str = STEP, name: str = "readings") -> Path:
    folder = pipeline_factory().folder
    (folder / "sources").mkdir()
    (folder / "sources" / f"{name}.py").write_text(text)
    return folder / "pipeline.yaml"


def test_python_runs_only_for_pipelines_that_the_installation_trusts(
    pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml = write_step(pipeline_factory)
    for names in ("", "other, machine_fault", "*"):
        monkeypatch.setenv(TRUST, names)
        with pytest.raises(PipelineRefusedError) as refused:
            read_pipeline(yaml)
        assert "sources/readings.py: this installation does not run Python of pipeline 'machine_faults'" in str(refused.value)
        assert f"add its name to {TRUST}" in str(refused.value)
    monkeypatch.setenv(TRUST, "other, machine_faults")
    pipeline = read_pipeline(yaml)
    assert pipeline.clean_steps() == {"readings": STEP}
    assert check_sql(pipeline).problems == []


@pytest.mark.parametrize(
    "words", [["validate", "machine_faults"], ["run", "machine_faults", "--date", "2026-03-01"]], ids=" ".join
)
def test_no_command_runs_python_that_is_not_trusted(
    pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    yaml = write_step(pipeline_factory, f"raise SystemExit('it ran')\n{STEP}")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(yaml.parents[1]))
    monkeypatch.delenv(TRUST, raising=False)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        assert run_command([*words, "--json"]) == 1
    assert "this installation does not run Python of pipeline 'machine_faults'" in out.getvalue()


def test_every_problem_of_a_step_is_listed(pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = write_step(pipeline_factory, "import rules\n")
    (yaml.parent / "sources" / "readings.sql").write_text("SELECT * FROM drop")
    (yaml.parent / "sources" / "reading.py").write_text(STEP)
    monkeypatch.setenv(TRUST, "machine_faults")
    with pytest.raises(PipelineRefusedError) as refused:
        read_pipeline(yaml)
    text = str(refused.value)
    assert "sources/readings.py: sources/readings.sql cleans the same source. Remove one of them" in text
    assert "sources/readings.py: it defines no function clean" in text
    assert "sources/readings.py, line 1: it imports 'rules'" in text
    assert "sources/reading.py: the YAML has no source or reference 'reading'. Did you mean 'readings'?" in text


def test_spark_and_the_control_plane_have_the_same_libraries() -> None:
    """The control plane plans a step with its own versions, and Spark refuses others."""
    locks = [(REPO / "requirements" / f"{name}.lock").read_text(encoding="utf-8") for name in ("airflow", "spark")]
    ours, sparks = ({line.split()[0] for line in lock.splitlines() if line.startswith(LIBRARIES)} for lock in locks)
    assert len(sparks) == len(LIBRARIES)
    assert sparks <= ours
