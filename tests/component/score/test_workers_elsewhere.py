"""A worker on another machine: it has Spark's libraries, but not this package."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from scored_rows import make_records, serve

from stack.config import REPO

PYTHON = REPO / ".spark/bin/python"
SEND = """
import sys
from pathlib import Path
from perennial.spark.lean import allow_libraries
allow_libraries()
from pyspark import cloudpickle
from perennial.score import job
from perennial.score.worker import make_scorer
from scored_rows import make_records, make_release, to_rows

job.send_functions()
Path(sys.argv[1]).write_bytes(cloudpickle.dumps([make_scorer(make_release()), to_rows(make_records(200)).to_batches()]))
"""
RECEIVE = """
import importlib.util, json, os, sys
from pathlib import Path
from pyspark import cloudpickle

assert importlib.util.find_spec("perennial") is None
score, batches = cloudpickle.loads(Path(sys.argv[1]).read_bytes())
(scored,) = score(iter(batches))
print(json.dumps([scored.column("p").to_pylist(), scored.column("unseen").to_pylist(), os.environ["ORT_DISABLE_TELEMETRY"]]))
"""


def test_a_worker_without_the_package_gives_the_same_answers(tmp_path: Path) -> None:
    file = tmp_path / "function"
    paths = f"{REPO}/include:{REPO}/tests/support:{REPO}/.venv/lib/python3.11/site-packages"
    sender = subprocess.run([PYTHON, "-c", SEND, file], env={"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert sender.returncode == 0, sender.stderr
    worker = subprocess.run([PYTHON, "-c", RECEIVE, file], env={}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert worker.returncode == 0, worker.stderr

    served = serve(make_records(200))
    p, unseen, is_telemetry_off = json.loads(worker.stdout)
    assert is_telemetry_off == "1"
    assert np.array(p, np.float32).tobytes() == np.array(served.predictions, np.float32).tobytes()
    assert unseen == [",".join(fields) for fields in served.unseen]
