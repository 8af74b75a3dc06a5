"""Our `spark-submit`, with a program of ours in the place of Java."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from perennial.runtime.process_record import is_alive
from stack.spark import SparkHome, submit_script

pytestmark = pytest.mark.spark

TASK = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(600)"


def run_beside(program: Path, environment: Mapping[str, str]) -> None:
    """Run another job, which ends at once."""
    subprocess.run([str(program), "job.py"], env={**environment, "SECONDS_TO_RUN": "0"}, check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal to the children of a dead parent is Linux's")
@pytest.mark.parametrize(
    ("setting", "place"),
    [({}, "spark"), ({"PERENNIAL_SCRATCH": "a disk"}, f"a disk/perennial-spark-{os.getuid()}")],
    ids=["state folder", "scratch"],
)
def test_the_jvm_ends_with_a_killed_task_and_the_next_job_removes_its_folder(
    tmp_path: Path, setting: Mapping[str, str], place: str
) -> None:
    (tmp_path / "a disk").mkdir()
    environment = {"PATH": "/usr/bin:/bin", "PERENNIAL_VAR": str(tmp_path)}
    environment |= {name: str(tmp_path / folder) for name, folder in setting.items()}
    home = SparkHome(tmp_path / "a place")
    home.java.parent.mkdir(parents=True)
    home.java.write_text('#!/bin/sh\ntouch "$SPARK_LOCAL_DIRS/running"\nexec sleep "${SECONDS_TO_RUN:-600}"\n')
    program = tmp_path / "spark-submit"
    program.write_text(submit_script(home, tmp_path))
    for path in (home.java, program):
        path.chmod(0o755)
    task = subprocess.Popen(
        [sys.executable, "-c", TASK, str(program), "job.py"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert task.stdout is not None
    jvm = psutil.Process(int(task.stdout.readline()))
    try:
        deadline = time.monotonic() + 10
        while not (running := tmp_path / place / f"job-{jvm.pid}" / "running").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run_beside(program, environment)
        assert running.exists(), "its job still runs"
        task.kill()
        task.communicate()
        while is_alive(jvm):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run_beside(program, environment)
        assert not running.parent.exists()
    finally:
        if is_alive(jvm):
            jvm.kill()
