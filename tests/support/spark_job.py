"""A program run by the embedded Spark, without a stack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stack.config import REPO

SUBMIT = REPO / ".spark" / "bin" / "perennial-spark-submit"


def run_job(folder: Path, program: str, conf: Sequence[str] = (), arguments: Sequence[str] = ()) -> Any:
    """Submit a program from a folder of its own and return the JSON of the line that it says after `SAID `."""
    (value,) = run_jobs(folder, program, conf, arguments)
    return value


def run_jobs(folder: Path, program: str, conf: Sequence[str] = (), arguments: Sequence[str] = ()) -> list[Any]:
    """
    Do the same for a program that says several such lines.

    Spark takes 12 CPU seconds to start, so a file of tests does best to have one program do the work of them all.
    """
    return said(submit(folder, program, conf, arguments))


def submit(
    folder: Path, program: str, conf: Sequence[str] = (), arguments: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Submit a program from a folder of its own, and return its output and Spark's log."""
    (folder / "job.py").write_text(program)
    done = subprocess.run(
        [SUBMIT, *conf, folder / "job.py", *arguments],
        cwd=folder,
        env={"PERENNIAL_VAR": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def said(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return the JSON of each line that a program said after `SAID `."""
    return [json.loads(line.removeprefix("SAID ")) for line in done.stdout.splitlines() if line.startswith("SAID ")]
