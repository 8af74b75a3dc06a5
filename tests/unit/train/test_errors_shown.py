"""The error of a training reaches its output, also after an author's file has changed the logging of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perennial.display.printed_error import read_error
from perennial.errors import REFUSED_EXIT_CODE

TRAINER = """
import logging, logging.config, sys
import perennial.train.__main__ as trainer
from perennial.errors import RefusedError

def run_job(*_, **__):
    exec(sys.argv[1])
    raise RefusedError("candidates/own.py, line 3", ["ValueError: no rows"], "Change the file.")

trainer.run_job, trainer.Objects, trainer.load_environment = run_job, object, bool
sys.exit(trainer.main(["--job", "s3://lake/job.json"]))
"""


@pytest.mark.parametrize(
    "change",
    [
        "pass",
        "logging.disable(logging.CRITICAL)",
        "logging.config.dictConfig({'version': 1})",
        "logging.getLogger().setLevel(60)",
        "logging.getLogger().handlers.clear()",
    ],
)
def test_the_error_of_a_training_is_shown(change: str) -> None:
    done = subprocess.run([sys.executable, "-c", TRAINER, change], capture_output=True, text=True, check=False)
    assert done.returncode == REFUSED_EXIT_CODE, done.stderr
    assert read_error(done.stdout.splitlines()) == "candidates/own.py, line 3: ValueError: no rows. Change the file."
