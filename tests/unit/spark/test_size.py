"""The settings of a job that follow from its number of rows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from perennial.spark.size import LARGE_METHODS, ROWS_A_TASK, count_tasks, size_conf
from stack.spark import LEAN_JVM, MAX_QUICK_ROWS, SparkHome, submit_script


def test_a_shuffle_has_a_task_for_each_core_and_more_for_many_rows() -> None:
    assert count_tasks(10, 2) == 2
    assert count_tasks(3_000_000, 2) == 6
    assert count_tasks(3_000_000, 16) == 16
    assert count_tasks(ROWS_A_TASK * 20 + 1, 16) == 21


@pytest.mark.parametrize(("rows", "is_big"), [(0, False), (MAX_QUICK_ROWS, False), (MAX_QUICK_ROWS + 1, True)])
def test_the_compiler_and_the_heap_follow_from_the_rows(tmp_path: Path, rows: int, is_big: bool) -> None:
    """The real script, with a Java that says its arguments."""
    home = SparkHome(tmp_path)
    home.java.parent.mkdir(parents=True)
    home.java.write_text('#!/bin/sh\necho "$@"\n')
    home.java.chmod(0o755)
    script = tmp_path / "submit"
    script.write_text(submit_script(home, tmp_path))
    words = [word for name, value in size_conf(rows).items() for word in ("--conf", f"{name}={value}")]
    environment = {"PERENNIAL_VAR": str(tmp_path), "PATH": "/usr/bin:/bin", "flags": "-Xmx64g"}
    done = subprocess.run(["sh", script, *words, "job.py"], env=environment, capture_output=True, text=True, check=True)

    said = done.stdout.split()
    assert said[0] == f"@{home.java_arguments}"
    assert ("-XX:TieredStopAtLevel=4" in said) is is_big
    assert ("-Xmx4g" in said) is is_big
    assert (LARGE_METHODS in said) is is_big
    assert "-Xmx64g" not in said
    assert LEAN_JVM[0].startswith("-XX:TieredStopAtLevel=")
