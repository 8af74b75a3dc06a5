"""A job without a cleaning step in Python imports none of its libraries, although they are installed beside Spark."""

from __future__ import annotations

import json
import subprocess

import pytest

from perennial.config.clean_step import LIBRARIES
from stack.config import REPO

PYTHON = REPO / ".spark/bin/python"
PROGRAM = """
import importlib, json, sys
importlib.import_module(f"perennial.{sys.argv[1]}.job")
from pyspark.testing.utils import have_numpy  # as every literal column does
blocked = [name for name in sys.argv[2:] if sys.modules.get(name) is None]
from perennial.spark.lean import allow_libraries
allow_libraries()
print(json.dumps([blocked, [importlib.import_module(name).__name__ for name in sys.argv[2:]]]))
"""


@pytest.mark.parametrize("stage", ["clean", "analyse"])
def test_a_job_imports_none_of_them_until_it_needs_them(stage: str) -> None:
    environment = {"PYTHONPATH": str(REPO / "include"), "PATH": "/usr/bin:/bin"}
    command = [PYTHON, "-c", PROGRAM, stage, *LIBRARIES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [list(LIBRARIES), list(LIBRARIES)]
